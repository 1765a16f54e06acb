# SPDX-License-Identifier: Apache-2.0
# Run at build time (cmake -P): names the sources that decide what compiled modules look like, by
# content, so that two builds of equal sources share a cache and two of different sources never do.
file(GLOB_RECURSE sources RELATIVE "${SOURCE_DIR}"
  "${SOURCE_DIR}/runtime/*.h" "${SOURCE_DIR}/runtime/*.cc"
  "${SOURCE_DIR}/backends/*.h" "${SOURCE_DIR}/backends/*.cc"
  "${SOURCE_DIR}/proto/rlx/*.proto")
list(SORT sources)
set(all "${CONFIGURATION}")
foreach(source IN LISTS sources)
  file(SHA256 "${SOURCE_DIR}/${source}" digest)
  string(APPEND all "${source}:${digest}\n")
endforeach()
string(SHA256 id "${all}")
string(SUBSTRING "${id}" 0 32 id)
set(text "// Generated.\n#pragma once\n#define RLX_BUILD_ID \"${id}\"\n")
set(have "")
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" have)
endif()
if(NOT have STREQUAL text)
  file(WRITE "${OUTPUT}" "${text}")
endif()
