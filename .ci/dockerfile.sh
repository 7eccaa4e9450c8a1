#!/usr/bin/env bash
# Builds the Dockerfile's last stage with buildah, without a daemon and without a registry, and runs the result: it answers,
# it is not root, and it stops on SIGTERM within its grace.
#
# The base stands for the public one that the Dockerfile names: the same kinds of things (glibc, libgcc, root certificates, the user
# `nonroot`), taken from this machine. The stage that compiles needs a public image and is not built here; the binary is given.
#
#   .ci/dockerfile.sh [BINARY]        as root; needs buildah, curl and python3
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:-target/release/casebridge}")
port=${CASEBRIDGE_DOCKER_PORT:-11090}
# What App Engine gives between SIGTERM and SIGKILL.
grace=30

fail() { echo "dockerfile: $1" >&2; [ ! -s "${log:-}" ] || tail -n 40 "$log" >&2; exit 1; }
command -v buildah >/dev/null || fail 'buildah is missing: apt-get install -y --no-install-recommends buildah'
[ -x "$binary" ] || fail "$binary is missing: cargo build --release -p casebridge --no-default-features --features otlp"

work=$(mktemp -d)
log=$work/log
# A store of its own: nothing of the machine's images is read or left changed.
buildah() { command buildah --storage-driver vfs --root "$work/images" --runroot "$work/run" "$@"; }
container=
process=
cleanup() {
  [ -z "$process" ] || kill -KILL "$process" 2>/dev/null || true
  [ -z "$container" ] || buildah rm "$container" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

# The base: the libraries that the binary names, where it looks for them.
mkdir -p "$work/base/etc/ssl/certs" "$work/base/tmp" "$work/context"
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
  install -D "$(realpath "$library")" "$work/base$library"
done
cp /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/"
echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$work/base/etc/passwd"
printf 'FROM scratch\nCOPY . /\n' >"$work/base.dockerfile"
buildah bud --quiet --isolation=chroot --pull-never -t localhost/casebridge-base -f "$work/base.dockerfile" "$work/base" >/dev/null

# As the stage that compiles leaves it.
strip -o "$work/context/casebridge" "$binary"
buildah bud --quiet --isolation=chroot --pull-never -t localhost/casebridge \
  --build-arg BASE_IMAGE=localhost/casebridge-base --build-arg BINARY=prebuilt -f Dockerfile "$work/context" >/dev/null
# The process is started here, as the image says: its file system, its user, its command, its environment.
container=$(buildah from --pull-never localhost/casebridge)
root=$(buildah mount "$container")
read -r user command <<<"$(buildah inspect --type image localhost/casebridge | python3 -c 'import json, sys
config = json.load(sys.stdin)["OCIv1"]["config"]
print(config["User"], *config["Entrypoint"], *config["Cmd"])')"
[ "$user" = 65532:65532 ] || fail "the image's user is '$user'"
[ "$command" = '/casebridge serve' ] || fail "the image runs '$command'"

if chroot "$root" /casebridge sandbox --help >/dev/null 2>&1; then fail 'the image holds the sandboxes'; fi

# All that a start needs; the systems are not there, and need not be for the service to answer.
mkdir -p "$root/data"
chown 65532:65532 "$root/data"
env -i PORT="$port" RUST_LOG=info \
  CASEBRIDGE_SERVER__PLATFORM=app-engine CASEBRIDGE_GOOGLE__AUTH=none CASEBRIDGE_GOOGLE__BASE_URL=http://127.0.0.1:1 \
  CASEBRIDGE_GOOGLE__PARENT=organizations/1 CASEBRIDGE_GOOGLE__CLASSIFICATION_ID=100152 CASEBRIDGE_COMPANY__KIND=jira CASEBRIDGE_COMPANY__BASE_URL=http://127.0.0.1:1 \
  CASEBRIDGE_COMPANY__JIRA__PROJECT=SUP CASEBRIDGE_STORE__URL=sqlite:/data/casebridge.db CASEBRIDGE_QUEUE__CRON=false \
  "$(command -v chroot)" --userspec="$user" "$root" $command >"$log" 2>&1 &
process=$!

for second in $(seq 300); do
  if curl -sf "http://127.0.0.1:$port/healthz" >/dev/null; then break; fi
  kill -0 "$process" 2>/dev/null || fail 'the service ended'
  [ "$second" -lt 300 ] || fail 'no answer from /healthz within five minutes'
  sleep 1
done
curl -sf "http://127.0.0.1:$port/readyz" >/dev/null || fail '/readyz does not answer 200'
# No header but the platform's own lets anybody in.
[ "$(curl -s -o /dev/null -w '%{http_code}' -X POST "http://127.0.0.1:$port/tasks/cleanup")" = 401 ] || fail 'a stranger may run tasks'
owner=$(awk '/^Uid:/ { print $2 }' "/proc/$process/status")
[ "$owner" = 65532 ] || fail "the process runs as $owner"
# Every line is what Cloud Logging reads.
python3 -c 'import json, sys
lines = [json.loads(line) for line in sys.stdin]
assert lines and all(line["severity"] and line["message"] and line["time"] for line in lines), lines' <"$log" || fail 'a log line is not an entry'

began=$(date +%s)
kill -TERM "$process"
status=0
wait "$process" || status=$?
took=$(($(date +%s) - began))
process=
[ "$status" = 0 ] || fail "it ended with $status on SIGTERM"
[ "$took" -lt "$grace" ] || fail "it took $took s to stop"
echo "dockerfile: the image answers as user $owner on PORT, and stopped within $took s; $(du -h "$root/casebridge" | cut -f1) of it are the program"
