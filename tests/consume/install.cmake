# SPDX-License-Identifier: MIT
# cmake -DBUILD=<dir> -DPREFIX=<dir> -P install.cmake: installs into PREFIX by way of another place.
file(REMOVE_RECURSE ${PREFIX} ${PREFIX}.first)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX}.first
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(RENAME ${PREFIX}.first ${PREFIX})

file(GLOB_RECURSE package_files ${PREFIX}/share/*)
foreach(file IN LISTS package_files)
  file(STRINGS ${file} told REGEX "\\.first|${BUILD}")
  if(told)
    message(FATAL_ERROR "${file} remembers a place of this machine: ${told}")
  endif()
endforeach()
