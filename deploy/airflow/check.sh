#!/bin/sh
# Runs the DAG once, with `airflow dags test`, beside an engine that runs: sh deploy/airflow/check.sh FOLDER
#
# FOLDER has the engine's config.toml. Airflow's requirements can't share an environment with ours, so it
# gets one of its own, in a folder that is removed at the end; name one in AIRFLOW_ENV to keep it. Nothing
# listens anywhere. BILLING is the command, `.venv/bin/billing` of this checkout where it isn't set.
# AS_OF names the night (2026-03-02T00:00:00Z); without it, it is now: on a sandbox's clock that may be to come.
set -eu

version=3.3.2
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "${1:?name the folder of the engine, which has its config.toml}" && pwd)
billing=${BILLING:-$here/../../.venv/bin/billing}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

env=${AIRFLOW_ENV:-$work/env}
if [ ! -x "$env/bin/airflow" ]; then
    echo "installing Airflow $version into $env" >&2
    "${PYTHON:-python3}" -m venv "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check "apache-airflow==$version"
fi

export AIRFLOW_HOME="$work/home" AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__DAGS_FOLDER="$here"
export AIRFLOW__LOGGING__LOGGING_LEVEL="${LEVEL:-ERROR}"
export PERENNIAL_BILLING="$billing --config $folder/config.toml"
export PERENNIAL_ALERT="tee -a $work/alerts"
cd "$folder"
"$env/bin/airflow" db migrate >"$work/migrate.log" 2>&1 || { cat "$work/migrate.log"; exit 1; }

conf='{}'
[ -z "${AS_OF:-}" ] || conf="{\"as_of\": \"$AS_OF\"}"
"$env/bin/airflow" dags test perennial_night --dagfile-path "$here/perennial_night.py" --conf "$conf"
run=$("$env/bin/airflow" dags list-runs perennial_night -o plain 2>/dev/null | awk '/^perennial_night / { print $2; exit }')
"$env/bin/airflow" tasks states-for-dag-run perennial_night "$run" 2>/dev/null
if [ -s "$work/alerts" ]; then
    echo "alerts:"
    cat "$work/alerts"
fi
