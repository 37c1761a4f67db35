# SPDX-License-Identifier: MIT
# librdkafka, the C client of Kafka, as RdKafka::rdkafka. Debian and Ubuntu install no package file for
# CMake; where upstream's is installed, it is used.
find_package(RdKafka CONFIG QUIET)
if(TARGET RdKafka::rdkafka)
  set(RdKafka_FOUND TRUE)
  return()
endif()

find_path(RdKafka_INCLUDE_DIR librdkafka/rdkafka.h)
find_library(RdKafka_LIBRARY rdkafka)
mark_as_advanced(RdKafka_INCLUDE_DIR RdKafka_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(RdKafka REQUIRED_VARS RdKafka_LIBRARY RdKafka_INCLUDE_DIR)
if(RdKafka_FOUND AND NOT TARGET RdKafka::rdkafka)
  add_library(RdKafka::rdkafka UNKNOWN IMPORTED)
  set_target_properties(RdKafka::rdkafka PROPERTIES
                        IMPORTED_LOCATION "${RdKafka_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${RdKafka_INCLUDE_DIR}")
endif()
