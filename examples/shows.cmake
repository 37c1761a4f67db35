# SPDX-License-Identifier: MIT
# Runs PROGRAM, which must end with 0 and print what matches SHOWS.
execute_process(COMMAND ${PROGRAM} OUTPUT_VARIABLE output RESULT_VARIABLE result TIMEOUT 20)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} ended with ${result} and printed:\n${output}")
endif()
if(NOT output MATCHES "${SHOWS}")
  message(FATAL_ERROR "expected /${SHOWS}/, but ${PROGRAM} printed:\n${output}")
endif()
