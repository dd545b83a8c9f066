#!/bin/sh
# Batch script of every task of every job: fixed text. What differs comes as arguments, and
# Slurm's own variables say which element of the array this is.
#
#   task.sh PYTHON REQUEUE STATE JOB STEP OFFSET
#
# A runner that is killed by a signal is started again: it closes its former attempt, which
# counts as one, so that this comes to an end. Signals to the job are passed on to the runner.
python=$1
shift
told=no
runner=
trap 'told=yes; kill -TERM "$runner" 2>/dev/null' TERM INT
trap 'kill -USR1 "$runner" 2>/dev/null' USR1
tries=0
while [ "$tries" -lt 20 ]; do
  "$python" -P -m laikaroto.farm.slurm.task "$@" &
  runner=$!
  while :; do
    wait "$runner"
    code=$?
    # above 128: the runner died of a signal, or the wait was interrupted by one
    [ "$code" -gt 128 ] && kill -0 "$runner" 2>/dev/null && continue
    break
  done
  [ "$code" -le 128 ] && exit "$code"
  [ "$told" = yes ] && exit 1
  tries=$((tries + 1))
done
exit 1
