# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Kafka, without ZooKeeper. Sourced after common.sh.

KAFKA_VERSION=3.9.1
kafka_libs=$OMNIBUS_CACHE/kafka-$KAFKA_VERSION-tools

kafka_is_cached() { [[ -d $kafka_libs ]]; }

# The folder appears whole or not at all.
kafka_download() {
    local work
    mkdir -p "$OMNIBUS_CACHE"
    work=$(mktemp -d "$OMNIBUS_CACHE/download.XXXXXX") || return
    cat >"$work/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>omnibus</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$KAFKA_VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>$KAFKA_VERSION</version>
      <exclusions>
        <exclusion>
          <groupId>*</groupId>
          <artifactId>*</artifactId>
        </exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
POM
    mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/libs" &&
        mv -T "$work/libs" "$kafka_libs"
    local status=$?
    rm -rf "$work"
    return $status
}

kafka_java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$kafka_libs/*")

# kafka_configure NAME...: nodes of one cluster.
kafka_configure() {
    local name id=0 voters=
    for name in "$@"; do
        new_server "$name" kafka
        new_port "$name" port
        new_port "$name" controller_port
        (($# > 1)) || kafka_secure "$name" || return
        voters+=${voters:+,}$((++id))@127.0.0.1:$(<"$OMNIBUS_BROKERS_DIR/$name/controller_port")
    done
    id=0
    for name in "$@"; do
        kafka_properties "$name" $((++id)) $# "$voters" >"$OMNIBUS_BROKERS_DIR/$name/server.properties"
    done
    kafka_format "$@"
}

# A server that stands alone has three ports more: one asks for a password, by PLAIN or SCRAM, the other one
# speaks TLS and asks for a certificate. Everyone may do everything until there are rules (ACLs) for it;
# those for the guest, who has the same password, hold for that one alone. A third one tells its clients to come
# to another port, where a proxy may listen that goes on to it.
kafka_user=omnibus kafka_guest=guest kafka_password=omnibus-s3cret
kafka_secure() {
    local dir=$OMNIBUS_BROKERS_DIR/$1
    new_port "$1" sasl_port
    new_port "$1" tls_port
    new_port "$1" behind_proxy_port
    new_port "$1" port_of_proxy  # where nobody listens unless a test puts a proxy there
    mkdir "$dir/certificates"
    (cd "$dir/certificates" && "$kafka_lib/certificates") >>"$dir/log" 2>&1
}
kafka_lib=$(dirname "${BASH_SOURCE[0]}")

# kafka_secure_properties NAME LISTENERS MAP
kafka_secure_properties() {
    local dir=$OMNIBUS_BROKERS_DIR/$1 sasl_port tls_port behind_proxy
    behind_proxy=$(<"$dir/behind_proxy_port")
    sasl_port=$(<"$dir/sasl_port") tls_port=$(<"$dir/tls_port")
    cat <<PROPERTIES
listeners=$2,SASL://127.0.0.1:$sasl_port,TLS://127.0.0.1:$tls_port,PROXY://127.0.0.1:$behind_proxy
advertised.listeners=PLAINTEXT://127.0.0.1:$(server_port "$1"),SASL://127.0.0.1:$sasl_port,TLS://localhost:$tls_port,PROXY://127.0.0.1:$(<"$dir/port_of_proxy")
listener.security.protocol.map=$3,SASL:SASL_PLAINTEXT,TLS:SSL,PROXY:PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
    user_$kafka_user="$kafka_password" user_$kafka_guest="$kafka_password";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location=$dir/certificates/server.both
listener.name.tls.ssl.truststore.type=PEM
listener.name.tls.ssl.truststore.location=$dir/certificates/ca.pem
listener.name.tls.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:$kafka_user
allow.everyone.if.no.acl.found=true
PROPERTIES
}

# kafka_properties NAME ID SIZE VOTERS
kafka_properties() {
    local dir=$OMNIBUS_BROKERS_DIR/$1 port controller_port listeners map
    port=$(<"$dir/port") controller_port=$(<"$dir/controller_port")
    listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
    map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
    if (($3 == 1)); then
        kafka_secure_properties "$1" "$listeners" "$map"
    else
        printf 'listeners=%s\nadvertised.listeners=PLAINTEXT://127.0.0.1:%s\nlistener.security.protocol.map=%s\n' \
            "$listeners" "$port" "$map"
    fi
    cat <<PROPERTIES
process.roles=broker,controller
node.id=$2
controller.quorum.voters=$4
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
num.partitions=4
default.replication.factor=$3
min.insync.replicas=$((($3 + 1) / 2))
unclean.leader.election.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$3
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$3
transaction.state.log.min.isr=$((($3 + 1) / 2))
# Groups form at once, instead of waiting for more members.
group.initial.rebalance.delay.ms=0
# A killed node is missed, and may come back, after 4 s instead of 9.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
# Small: the tests of one machine, not a data centre.
num.network.threads=1
num.io.threads=2
log.cleaner.dedupe.buffer.size=4194304
PROPERTIES
}

# The nodes of a cluster share an id: 16 bytes in base64.
kafka_format() {
    local name
    for name in "$@"; do
        "${kafka_java[@]}" kafka.tools.StorageTool format -t b21uaWJ1cy1icm9rZXJzLQ \
            --add-scram "SCRAM-SHA-256=[name=$kafka_user,password=$kafka_password]" -c \
            "$OMNIBUS_BROKERS_DIR/$name/server.properties" >>"$OMNIBUS_BROKERS_DIR/$name/log" 2>&1 || return
    done
}

kafka_launch() {
    run_server "$1" "${kafka_java[@]}" -Xms128m -Xmx512m kafka.Kafka server.properties
}

# kafka_ready NAME [MEMBER...]: does NAME know itself, and each MEMBER, as a live broker? It asks for
# Metadata (key 3, version 1) of no topics, as client "", and looks for the listed addresses: a broker
# that is still fenced is not listed, even by itself.
kafka_ready() {
    local name=$1 member reply size port
    port=$(server_port "$name")
    local request='\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\0\0\0\0\0\0'
    size=$(ask "$port" "$request" 4)
    [[ $size ]] || return
    reply=$(ask "$port" "$request" $((16#$size + 4)))
    for member in "$name" "${@:2}"; do
        [[ $reply == *$(hex_of 127.0.0.1)$(printf %08x "$(server_port "$member")")* ]] || return
    done
}

# The nodes have come together by themselves once each knows all.
kafka_assemble() {
    local name
    for name in "$@"; do
        await_ready "$name" kafka_ready "$name" "$@" || return
    done
}

# kafka_export NAME...: what else the command is to know.
kafka_export() {
    (($# == 1)) || return 0
    export OMNIBUS_KAFKA_SASL=127.0.0.1:$(<"$OMNIBUS_BROKERS_DIR/$1/sasl_port")
    export OMNIBUS_KAFKA_USER=$kafka_user OMNIBUS_KAFKA_GUEST=$kafka_guest
    export OMNIBUS_KAFKA_PASSWORD=$kafka_password
    export OMNIBUS_KAFKA_TLS=localhost:$(<"$OMNIBUS_BROKERS_DIR/$1/tls_port")
    export OMNIBUS_KAFKA_CERTIFICATES=$OMNIBUS_BROKERS_DIR/$1/certificates
    export OMNIBUS_KAFKA_BEHIND_PROXY=127.0.0.1:$(<"$OMNIBUS_BROKERS_DIR/$1/behind_proxy_port")
    export OMNIBUS_KAFKA_PROXY=127.0.0.1:$(<"$OMNIBUS_BROKERS_DIR/$1/port_of_proxy")
}

kafka_endpoint() { printf '127.0.0.1:%s' "$(server_port "$1")"; }

# For the classes of Kafka's own command line tools.
kafka_exec() {
    shift
    export CLASSPATH="$kafka_libs/*"
    exec "$@"
}

kafka_could_not_bind() {
    local logs=("${@/#/$OMNIBUS_BROKERS_DIR/}")
    grep -qE 'BindException|Address already in use' "${logs[@]/%//log}"
}
