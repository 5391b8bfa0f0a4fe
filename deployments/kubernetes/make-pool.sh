#!/bin/sh
# Make the pool gpu-k8s and set its worker to work: jobs with GPUs on the cluster that kubectl points at.
#
#   cp pool.env.example pool.env     # and fill it in
#   PREFECT_API_URL=http://127.0.0.1:4200/api PREFECT_API_AUTH_STRING=reelsift:... ./make-pool.sh
#
# Again is harmless: what is there already is brought up to date. The images must be where the cluster finds them: push
# them to a registry, and name them in cluster.yaml (the worker's) and in gpu-pool.json (`image`, the jobs').
set -eu
cd "$(dirname "$0")"
: "${PREFECT_API_URL:?says which Prefect server gets the pool}"
test -f pool.env || { echo "error: no pool.env here; copy pool.env.example and fill it in" >&2; exit 1; }

prefect work-pool create gpu-k8s --type kubernetes --base-job-template gpu-pool.json --overwrite
kubectl apply --filename cluster.yaml
kubectl create secret generic reelsift-env --namespace reelsift --from-env-file pool.env --dry-run=client --output yaml |
    kubectl apply --filename -
kubectl rollout status deployment/reelsift-worker --namespace reelsift --timeout 5m
echo "Now let detect-batch run there: prefect deploy --name detect-batch --pool gpu-k8s --prefect-file ../prefect.yaml"
echo "Batches are handed over in the home: the runs that dispatch them must have reelsift-home, or what it mounts, as theirs."
