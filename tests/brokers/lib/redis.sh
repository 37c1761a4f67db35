# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Redis. Sourced after common.sh.

# redis_configure NAME...: a server and its replicas.
redis_configure() {
    local name first=$1
    for name in "$@"; do
        new_server "$name" redis
        new_port "$name" port
        [[ $name == "$first" ]] || printf '%s' "$first" >"$OMNIBUS_BROKERS_DIR/$name/replica_of"
    done
}

# OMNIBUS_REDIS_ARGS comes last and so wins, for instance "--appendfsync always". OMNIBUS_REDIS_CLOCK is a file
# for libfaketime, such as "+40": what time it is for Redis, whenever it asks. libfaketime does not live with
# the allocator of Redis, which asks for the time before it can answer: so it gets another one.
redis_launch() {
    local dir=$OMNIBUS_BROKERS_DIR/$1 extra
    read -ra extra <<<"${OMNIBUS_REDIS_ARGS:-}"
    [[ ! -e $dir/replica_of ]] || extra+=(--replicaof 127.0.0.1 "$(server_port "$(<"$dir/replica_of")")")
    local clock=()
    [[ ! ${OMNIBUS_REDIS_CLOCK:-} ]] ||
        clock=(env 'LD_PRELOAD=libc_malloc_debug.so.0:/usr/$LIB/faketime/libfaketimeMT.so.1'
            "FAKETIME_TIMESTAMP_FILE=$OMNIBUS_REDIS_CLOCK" FAKETIME_NO_CACHE=1
            FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1)
    run_server "$1" "${clock[@]}" redis-server --bind 127.0.0.1 --port "$(server_port "$1")" --dir "$dir/data" \
        --save "" --appendonly yes --appendfsync everysec --repl-diskless-sync-delay 0 "${extra[@]}"
}

# While it loads its data, Redis answers -LOADING.
redis_ready() {
    [[ $(ask "$(server_port "$1")" 'PING\r\n' 7) == "$(hex_of $'+PONG\r\n')" ]]
}

redis_assemble() { :; } # replicas find their server by themselves

redis_endpoint() { printf 'redis://127.0.0.1:%s' "$(server_port "$1")"; }

# redis-cli reads no server's address from the environment.
redis_exec() {
    local name=$1 command=$2
    shift 2
    [[ $command != redis-cli ]] || set -- -h 127.0.0.1 -p "$(server_port "$name")" "$@"
    exec "$command" "$@"
}

redis_could_not_bind() {
    local name
    for name in "$@"; do
        ! grep -q 'Address already in use' "$OMNIBUS_BROKERS_DIR/$name/log" || return 0
    done
    return 1
}
