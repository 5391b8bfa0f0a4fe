#!/bin/sh
# What Postgres's image runs once, on an empty volume: a role for each server, and the databases that it owns.
#
# In: POSTGRES_USER and the two passwords, from the environment. Out: prefect; mlflow and mlflow_auth. A role owns what
# it uses, since both servers change their tables by themselves when they are upgraded, and reaches nothing else.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set "prefect_password=${PREFECT_DATABASE_PASSWORD:?is the password of the role prefect}" \
    --set "mlflow_password=${MLFLOW_DATABASE_PASSWORD:?is the password of the role mlflow}" <<'SQL'
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE prefect OWNER prefect;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow;
REVOKE CONNECT, TEMPORARY ON DATABASE prefect, mlflow, mlflow_auth FROM PUBLIC;
SQL
