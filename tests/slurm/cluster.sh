#!/bin/bash
# A Slurm cluster of this one machine, with all its files in one folder. Needs root, and
#   apt-get install -y slurm-wlm munge
#
#   cluster.sh start DIR    then: export SLURM_CONF=DIR/slurm.conf
#   cluster.sh stop DIR
set -euo pipefail

action=${1:?start or stop}
dir=$(realpath -m "${2:?folder}")

start() {
    mkdir -p "$dir/state" "$dir/spool" "$dir/log"
    chmod 755 "$dir" "$dir/log"
    (umask 077 && head -c 1024 /dev/urandom > "$dir/munge.key")
    # --force: root may run it, and its folder may be anywhere
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
        --pid-file="$dir/munged.pid" --log-file="$dir/log/munged.log" \
        --seed-file="$dir/munge.seed"
    write_conf > "$dir/slurm.conf"
    export SLURM_CONF=$dir/slurm.conf
    slurmctld -c
    slurmd
    for _ in $(seq 60); do
        if [ "$(sinfo --noheader --format=%T 2> /dev/null)" = idle ]; then return; fi
        sleep 0.5
    done
    echo "the node is not idle after 30 s; see $dir/log" >&2
    exit 1
}

write_conf() {
    local host memory
    host=$(hostname -s)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    # No cgroups, which containers rarely let one manage; ports beside those of a Slurm that is there
    cat << CONF
ClusterName=single
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2
ReturnToService=2
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$memory State=UNKNOWN
PartitionName=work Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
}

stop() {
    local name pid
    for name in slurmd slurmctld munged; do
        pid=$(cat "$dir/$name.pid" 2> /dev/null) || continue
        kill "$pid" 2> /dev/null || continue
        for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.2; done
    done
}

"$action"
