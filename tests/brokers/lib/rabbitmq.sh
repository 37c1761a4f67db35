# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# RabbitMQ. Sourced after common.sh.
#
# Nodes find each other, and rabbitmqctl finds them, through epmd, Erlang's registry of names. Each
# run has an epmd of its own, on its own port: node names then can't clash with those of another run,
# nor with a RabbitMQ that belongs to the machine.

# Not those in /usr/sbin: they change to the user rabbitmq, and can't be run by anyone but root.
rabbitmq_bin=/usr/lib/rabbitmq/bin

# rabbitmq_configure NAME...: nodes of one cluster.
rabbitmq_configure() {
    local name
    new_server epmd epmd
    new_port epmd port
    # Whoever knows the cookie is one of the family: nodes and tools read it from HOME.
    head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$OMNIBUS_BROKERS_DIR/epmd/.erlang.cookie"
    chmod 400 "$OMNIBUS_BROKERS_DIR/epmd/.erlang.cookie"
    for name in "$@"; do
        new_server "$name" rabbitmq
        new_port "$name" port
        new_port "$name" distribution_port
        rabbitmq_config "$name" >"$OMNIBUS_BROKERS_DIR/$name/rabbitmq.conf"
        printf '[rabbitmq_consistent_hash_exchange].\n' >"$OMNIBUS_BROKERS_DIR/$name/enabled_plugins"
    done
}

# A busy or nearly full machine must not block publishers; tests that want an alarm set one.
rabbitmq_config() {
    cat <<CONFIG
listeners.tcp.1 = 127.0.0.1:$(server_port "$1")
vm_memory_high_watermark.relative = 0.95
disk_free_limit.absolute = 1MB
CONFIG
}

# rabbitmq_environment NAME: exports what a node and the tools that speak to it must know. Only for a
# subshell.
rabbitmq_environment() {
    local dir=$OMNIBUS_BROKERS_DIR/$1 variable
    for variable in ${!RABBITMQ_@}; do unset "$variable"; done # nothing of the caller's own RabbitMQ
    export HOME=$OMNIBUS_BROKERS_DIR/epmd
    export PATH=$rabbitmq_bin:$PATH
    export ERL_EPMD_PORT ERL_EPMD_ADDRESS=127.0.0.1
    ERL_EPMD_PORT=$(server_port epmd)
    export RABBITMQ_NODENAME=$1@localhost
    export RABBITMQ_CONF_ENV_FILE=/dev/null
    export RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf
    export RABBITMQ_ADVANCED_CONFIG_FILE=$dir/advanced.config
    export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins
    export RABBITMQ_MNESIA_BASE=$dir/data
    export RABBITMQ_LOG_BASE=$dir
    export RABBITMQ_LOGS=- # to the standard output, that is, to the server's log
    export RABBITMQ_PID_FILE=$dir/rabbitmq.pid
    export RABBITMQ_DIST_PORT
    RABBITMQ_DIST_PORT=$(<"$dir/distribution_port")
    # Loopback only, and no spinning: idle schedulers would eat the processor that the tests need.
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none'
    # Makes the start script become the server instead of waiting for it, so that there is one pid.
    export RABBITMQ_ALLOW_INPUT=1
}

rabbitmq_launch() {
    server_is epmd running || start_server epmd || return
    (
        rabbitmq_environment "$1"
        run_server "$1" "$rabbitmq_bin/rabbitmq-server" -noinput
    )
}

# Ready is a node that answers the AMQP greeting, with a frame (01) of channel 0.
rabbitmq_ready() {
    [[ $(ask "$(server_port "$1")" 'AMQP\0\0\x09\x01' 3) == 010000 ]]
}

# One after the other: a node that joins changes the tables of all.
rabbitmq_assemble() {
    local first=$1 name
    for name in "${@:2}"; do
        rabbitmq_join "$name" "$first" >>"$OMNIBUS_BROKERS_DIR/$name/log" 2>&1 || return
    done
}
rabbitmq_join() (
    rabbitmq_environment "$1"
    rabbitmqctl stop_app && rabbitmqctl join_cluster "$2@localhost" && rabbitmqctl start_app
)

rabbitmq_endpoint() { printf 'amqp://guest:guest@127.0.0.1:%s/' "$(server_port "$1")"; }

rabbitmq_exec() (
    rabbitmq_environment "$1"
    shift
    exec "$@"
)

rabbitmq_could_not_bind() {
    local logs=("${@/#/$OMNIBUS_BROKERS_DIR/}")
    grep -qiE 'eaddrinuse|address already in use|in use by another' \
        "$OMNIBUS_BROKERS_DIR/epmd/log" "${logs[@]/%//log}"
}

epmd_launch() { run_server epmd epmd -address 127.0.0.1 -port "$(server_port epmd)"; }
epmd_ready() { port_is_taken "$(server_port "$1")"; }
