"""Countries and regions by their codes (ISO 3166-1 and 3166-2), and the states of the EU."""

import re
from typing import Final

_REGION: Final = re.compile(r"[A-Z0-9]{1,3}", re.ASCII)


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


COUNTRIES: Final = _codes(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR"
    " BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ"
    " EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW"
    " GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY"
    " KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV"
    " MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY"
    " QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG"
    " TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM"
    " ZW"
)
"""All that ISO 3166-1 assigns."""

EU: Final = _codes(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
)
"""The member states of the European Union since 2020-02-01."""

_REGIONS_OF: Final = {
    "US": _codes(
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ"
        " NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC AS GU MP PR UM VI"
    ),
    "CA": _codes("AB BC MB NB NL NS NT NU ON PE QC SK YT"),
    # With the codes of territories that ISO has none for: see `territories`.
    "AT": _codes("1 2 3 4 5 6 7 8 9 JM"),
    "DE": _codes("BB BE BW BY HB HE HH MV NI NW RP SH SL SN ST TH BUS HEL"),
    "ES": _codes(
        "A AB AL AN AR AS AV B BA BI BU C CA CB CC CE CL CM CN CO CR CS CT CU EX GA GC GI GR GU H"
        " HU IB J L LE LO LU M MA MC MD ML MU NA NC O OR P PM PO PV RI S SA SE SG SO SS T TE TF TO"
        " V VA VC VI Z ZA"
    ),
    "FI": _codes("01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19"),
    "FR": _codes(
        "01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20R 21 22 23 24 25 26 27 28 29 2A"
        " 2B 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58"
        " 59 60 61 62 63 64 65 66 67 68 69 69M 6AE 70 71 72 73 74 75C 76 77 78 79 80 81 82 83 84 85"
        " 86 87 88 89 90 91 92 93 94 95 971 972 973 974 976 ARA BFC BL BRE CP CVL GES HDF IDF MF"
        " NAQ NC NOR OCC PAC PDL PF PM TF WF GF GP MQ RE YT"
    ),
    "GR": _codes("69 A B C D E F G H I J K L M"),
    "IT": _codes(
        "21 23 25 32 34 36 42 45 52 55 57 62 65 67 72 75 77 78 82 88 AG AL AN AP AQ AR AT AV BA BG"
        " BI BL BN BO BR BS BT BZ CA CB CE CH CL CN CO CR CS CT CZ EN FC FE FG FI FM FR GE GO GR IM"
        " IS KR LC LE LI LO LT LU MB MC ME MI MN MO MS MT NA NO NU OR PA PC PD PE PG PI PN PO PR PT"
        " PU PV PZ RA RC RE RG RI RM RN RO SA SI SO SP SR SS SU SV TA TE TN TO TP TR TS TV UD VA VB"
        " VC VE VI VR VT VV LIV CAM"
    ),
    "PT": _codes("01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 20 30"),
}


def is_country(code: str) -> bool:
    """Tell whether a code is that of a country."""
    return code in COUNTRIES


def is_region(country: str, code: str) -> bool:
    """Tell whether a code can be that of a region: what follows the dash in "US-NY".

    The regions of the USA and of Canada are known, and those of member states of the EU that have
    special territories; of others the form is.
    """
    known = _REGIONS_OF.get(country)
    return code in known if known is not None else _REGION.fullmatch(code) is not None
