#!/bin/sh
# Runs the job where a scheduler knows success and failure only: exit code 3 (done; the files that could not be used
# are listed in failed.csv) becomes 0, for another start would come to the same. All other codes stay what they are.
# SIGTERM is handed on, so that the job stops cleanly and exits with 4.
job=
stopped=
stop() {
    stopped=yes
    if [ -n "$job" ]; then kill -TERM "$job" 2>/dev/null; fi
}
trap stop TERM INT
python main.py "$@" &
job=$!
if [ -n "$stopped" ]; then kill -TERM "$job"; fi
# A signal ends the wait, not the job: go on until the job itself has ended. 127: its end was told before.
take() {
    wait "$job"
    told=$?
    if [ "$told" -ne 127 ]; then code=$told; fi
}
take
while kill -0 "$job" 2>/dev/null; do take; done
take
if [ "$code" -eq 3 ]; then code=0; fi
exit "$code"
