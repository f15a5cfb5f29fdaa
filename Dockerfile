# Perennial as an image: each role is `billing ROLE`, with its settings in the environment.
# deploy/README.md says what a role needs. Another base: --build-arg BASE=...
ARG BASE=debian:12-slim

FROM ${BASE} AS build
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends python3-venv ca-certificates
WORKDIR /opt/perennial
# The packages change seldom: they are a layer of their own.
COPY requirements-runtime.lock ./
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile \
      --no-deps --require-hashes -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY billing/ billing/
COPY plans/ plans/
COPY workers/ workers/
COPY migrations/ migrations/
# Of the languages that come with babel only English is used.
RUN /opt/venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile \
      --no-deps --no-index --no-build-isolation . \
 && /opt/venv/bin/pip uninstall --quiet --yes setuptools \
 && cd /opt/venv/lib/python3*/site-packages \
 && find babel/locale-data -name '*.dat' ! -name 'root.dat' ! -name 'en*.dat' -delete \
 && rm -rf pip pip-*.dist-info

FROM ${BASE}
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /usr/share/doc /usr/share/man \
 && useradd --system --uid 10001 --user-group --home-dir /nonexistent --shell /usr/sbin/nologin perennial
COPY --from=build /opt/venv /opt/venv
COPY config.toml /etc/perennial/config.toml
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    BILLING__PLANS__CATALOG=/etc/perennial/catalog BILLING__LOGS__FORMAT=json
USER 10001
ENTRYPOINT ["billing", "--config", "/etc/perennial/config.toml"]
CMD ["--help"]
