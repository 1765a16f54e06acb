# SPDX-License-Identifier: Apache-2.0
# Run at build time (cmake -P): reads the rows in runtime/ir/ops/*.cc and writes the list of op kinds that they
# name and the list of families that they form, so that an op is added in one place.
file(GLOB sources "${SOURCE_DIR}/runtime/ir/ops/*.cc")
set(kinds "")
set(families "")
foreach(source IN LISTS sources)
  file(READ "${source}" text)
  string(REGEX MATCHALL "OpKind::k[A-Za-z0-9]+" found "${text}")
  list(TRANSFORM found REPLACE "OpKind::k" "")
  list(APPEND kinds ${found})
  string(REGEX MATCHALL "std::span<const OpInfo> [A-Za-z0-9]+\\(\\) {" found "${text}")
  list(TRANSFORM found REPLACE "std::span<const OpInfo> ([A-Za-z0-9]+)\\(\\) {" "\\1")
  list(APPEND families ${found})
endforeach()
foreach(list kinds families)
  list(REMOVE_DUPLICATES ${list})
  list(SORT ${list})
  list(TRANSFORM ${list} REPLACE "(.+)" "  X(\\1)")
  list(JOIN ${list} " \\\n" ${list})
endforeach()
set(text "// Generated from runtime/ir/ops by cmake/rlx_op_table.cmake.\n#pragma once\n")
string(APPEND text "#define RLX_OP_KINDS(X) \\\n${kinds}\n#define RLX_OP_FAMILIES(X) \\\n${families}\n")
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "${text}" @ONLY)  # touched only when it differs
