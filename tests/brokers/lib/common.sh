# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the scripts of this folder share: talking, waiting, the folder of a run, and the life of one
# server process. Sourced, never run.
#
# A run is one folder, OMNIBUS_BROKERS_DIR. It holds a folder for each server, named like the server:
#   kind  rabbitmq, redis, kafka: which lib/KIND.sh knows it        port, ...  what it listens on
#   pid   "PID START_TIME" of its latest process                    log        all that it printed
# and the file `open`, there for as long as servers may be started.

# shellcheck disable=SC2034 # for those that source this
OMNIBUS_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/omnibus
OMNIBUS_START_SECONDS=${OMNIBUS_START_SECONDS:-120} # how long a server may take; slow machines exist

say() { printf 'brokers: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

now_us() { printf '%s' "${EPOCHREALTIME//[.,]/}"; } # some locales write a comma
seconds_since() {
    local us=$(($(now_us) - $1))
    printf '%d.%02d s' $((us / 1000000)) $((us / 10000 % 100))
}

# within SECONDS COMMAND...: repeats COMMAND until it succeeds; fails when the time is over.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# --- processes ------------------------------------------------------------------------------------

# process_fields PID ARRAY: what the kernel says about a process, from its state onwards, so that
# [0] is the state, [2] the process group, [5] the terminal's foreground group, [17] the number of threads, [19]
# the start time.
process_fields() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The program's name comes before, in brackets, and may hold anything, brackets included.
    read -ra "$2" <<<"${line##*) }"
}

# note_pid FOLDER: of the current subshell, for server_pid.
note_pid() {
    local fields
    process_fields "$BASHPID" fields && printf '%s %s\n' "$BASHPID" "${fields[19]}" >"$1/pid"
}

# server_pid NAME: the process of a running or paused server. A pid alone may long belong to
# somebody else; together with its start time it can't. A zombie waits for init, and runs nothing; but one
# with threads has one of them in the kernel, such as in an fsync that takes its time, and keeps its ports until then.
server_pid() {
    local pid started fields
    { read -r pid started <"$OMNIBUS_BROKERS_DIR/$1/pid"; } 2>/dev/null || return 1
    process_fields "$pid" fields || return 1
    [[ ${fields[0]} != [ZX] || ${fields[17]} -gt 1 ]] && [[ ${fields[19]} == "$started" ]] && printf '%s' "$pid"
}

server_state() {
    local pid fields
    if ! pid=$(server_pid "$1") || ! process_fields "$pid" fields; then
        printf stopped
    elif [[ ${fields[0]} == T ]]; then
        printf paused
    else
        printf running
    fi
}
server_is() { [[ $(server_state "$1") == "$2" ]]; }

server_kind() { printf '%s' "$(<"$OMNIBUS_BROKERS_DIR/$1/kind")"; }
server_port() { printf '%s' "$(<"$OMNIBUS_BROKERS_DIR/$1/port")"; }

# new_server NAME KIND: an empty folder; what an earlier try has left goes.
new_server() {
    kill_server "$1"
    unmount_data "$1"
    rm -rf "${OMNIBUS_BROKERS_DIR:?}/$1"
    mkdir -p "$OMNIBUS_BROKERS_DIR/$1/data"
    [[ ! ${OMNIBUS_DATA_SIZE:-} ]] ||
        mount -t tmpfs -o "size=$OMNIBUS_DATA_SIZE" tmpfs "$OMNIBUS_BROKERS_DIR/$1/data" || return
    printf '%s' "$2" >"$OMNIBUS_BROKERS_DIR/$1/kind"
    : >"$OMNIBUS_BROKERS_DIR/$1/log"
}

# unmount_data NAME: what OMNIBUS_DATA_SIZE has had mounted.
unmount_data() {
    [[ ! ${OMNIBUS_DATA_SIZE:-} ]] || ! mountpoint --quiet "$OMNIBUS_BROKERS_DIR/$1/data" ||
        umount --lazy "$OMNIBUS_BROKERS_DIR/$1/data"
}

server_names() {
    local path
    for path in "$OMNIBUS_BROKERS_DIR"/*/kind; do
        [[ -e $path ]] && basename "$(dirname "$path")"
    done
}

# run_server NAME COMMAND...: starts the process of a server, in a session of its own, so that a
# Ctrl-C at the terminal reaches the tests but not the servers under them.
#
# The process notes its own pid before it becomes the server, and only then looks whether the run is
# still open; the janitor closes the run first and reads the pids after. Whichever comes first,
# no server slips through between the two.
run_server() {
    local name=$1 dir=$OMNIBUS_BROKERS_DIR/$1
    shift
    (
        cd "$dir" && note_pid . || exit
        [[ -e ../open ]] && exec setsid "$@"
    ) </dev/null >>"$dir/log" 2>&1 &
    within 10 has_started "$name" "$!"
}
has_started() { [[ $(server_pid "$1") == "$2" ]] || ! kill -0 "$2" 2>/dev/null; }

# await_ready NAME QUESTION...: until the command QUESTION says yes; gives up when the server has died.
await_ready() {
    local name=$1 deadline=$((SECONDS + OMNIBUS_START_SECONDS))
    shift
    until "$@"; do
        ! server_is "$name" stopped && ((SECONDS < deadline)) || return
        sleep 0.1
    done
}

explain_failure() {
    local what="did not answer within $OMNIBUS_START_SECONDS s"
    ! server_is "$1" stopped || what="died while starting"
    say "$1 $what; the end of its log:"
    tail -n 20 "$OMNIBUS_BROKERS_DIR/$1/log" 2>/dev/null | sed 's/^/    /' >&2
}

# start_server NAME: with the configuration and data it has; returns when it answers.
start_server() {
    local kind
    kind=$(server_kind "$1")
    "${kind}_launch" "$1" && await_ready "$1" "${kind}_ready" "$1"
}

# kill_server NAME: and whatever it has started. Works on a paused one, too.
kill_server() {
    local pid
    pid=$(server_pid "$1") || return 0
    kill -KILL -- "$pid" "-$pid" 2>/dev/null || true
    within 30 server_is "$1" stopped
}

# --- talking to a port ----------------------------------------------------------------------------

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# new_port NAME FILE: a port nobody listens on, noted in FILE of the server. `port_after` is the last
# one tried; `with` sets it to the begin of a range that no other run of this user has, so that a
# server finds its port free again after a restart. A stranger may still be quicker than the server.
new_port() {
    while port_is_taken "$((++port_after))"; do :; done
    printf '%s' "$port_after" >"$OMNIBUS_BROKERS_DIR/$1/$2"
}

# ask PORT BYTES COUNT: sends BYTES, in printf's notation, and prints COUNT bytes of the answer in hex.
# A server that is still starting may accept and then say nothing.
ask() {
    # shellcheck disable=SC2016,SC2059 # expands in the inner shell; the bytes are meant as a format
    timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "$2" >&3 && head -c "$3" <&3' \
        ask "$@" 2>/dev/null | od -An -v -tx1 | tr -d ' \n'
}

hex_of() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }
