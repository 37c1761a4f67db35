# SPDX-License-Identifier: MIT
# The opt-in parts of omnibus. Read by the build and, once installed, by find_package, so that what a
# part needs is written once. A new part is one more entry below.

# omnibus_component(<name> PACKAGE <what to find> LINK <the target it makes> DEBIAN <what to install>
#                   HEADERS <globs under include/omnibus>)
function(omnibus_component name)
  cmake_parse_arguments(PARSE_ARGV 1 part "" "PACKAGE;LINK;DEBIAN" "HEADERS")
  set_property(GLOBAL APPEND PROPERTY omnibus_components ${name})
  foreach(field PACKAGE LINK DEBIAN HEADERS)
    set_property(GLOBAL PROPERTY omnibus_${name}_${field} "${part_${field}}")
  endforeach()
endfunction()

set_property(GLOBAL PROPERTY omnibus_components "")
omnibus_component(json PACKAGE nlohmann_json LINK nlohmann_json::nlohmann_json
                  DEBIAN nlohmann-json3-dev HEADERS codec/json.hpp)
omnibus_component(rabbitmq PACKAGE rabbitmq-c LINK rabbitmq::rabbitmq DEBIAN librabbitmq-dev
                  HEADERS backends/rabbitmq.hpp backends/rabbitmq/*.hpp)
omnibus_component(kafka PACKAGE RdKafka LINK RdKafka::rdkafka DEBIAN librdkafka-dev
                  HEADERS backends/kafka.hpp backends/kafka/*.hpp)
omnibus_component(redis PACKAGE Hiredis LINK Hiredis::hiredis DEBIAN libhiredis-dev
                  HEADERS backends/redis_streams.hpp backends/redis_pubsub.hpp backends/redis/*.hpp
                          idempotency/redis.hpp idempotency/redis_script.hpp
                          parked/redis.hpp parked/redis_script.hpp
                          event_store/redis.hpp event_store/redis/*.hpp)
omnibus_component(redis_tls PACKAGE OpenSSL LINK OpenSSL::SSL DEBIAN libssl-dev
                  HEADERS backends/redis_tls.hpp)
omnibus_component(sqlite PACKAGE SQLite3 LINK SQLite::SQLite3 DEBIAN libsqlite3-dev
                  HEADERS idempotency/sqlite.hpp parked/sqlite.hpp detail/sqlite*.hpp outbox/*.hpp
                          event_store/sqlite.hpp event_store/sqlite/*.hpp
                          backends/sqlite.hpp backends/sqlite/*.hpp)
omnibus_component(fmt PACKAGE fmt LINK fmt::fmt DEBIAN libfmt-dev HEADERS format.hpp)

# omnibus_find_dependency(<name> <link> <problem>) finds what a component needs: leaves the target to
# link in <link>, or in <problem> a sentence that says what to do. One of them is empty.
function(omnibus_find_dependency name link problem)
  set(${link} "" PARENT_SCOPE)
  set(${problem} "" PARENT_SCOPE)
  get_property(known GLOBAL PROPERTY omnibus_components)
  if(NOT name IN_LIST known)
    list(JOIN known ", " known)
    set(${problem} "omnibus has no component \"${name}\"; it has: core, ${known}" PARENT_SCOPE)
    return()
  endif()
  foreach(field PACKAGE LINK DEBIAN)
    get_property(${field} GLOBAL PROPERTY omnibus_${name}_${field})
  endforeach()
  if(NOT TARGET ${LINK})
    # Our own find modules come first; the list is this function's, the user's stays as it is.
    list(PREPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
    find_package(${PACKAGE} QUIET)
  endif()
  if(TARGET ${LINK})
    set(${link} ${LINK} PARENT_SCOPE)
  else()
    set(${problem} "omnibus::${name} needs ${PACKAGE}, which was not found: install it (Debian and \
Ubuntu: apt install ${DEBIAN}) or name its place in CMAKE_PREFIX_PATH" PARENT_SCOPE)
  endif()
endfunction()
