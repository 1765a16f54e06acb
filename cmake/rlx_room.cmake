# SPDX-License-Identifier: Apache-2.0
# Rooms, back ends and binaries. Sources are globbed: a new file needs no edit here.

# One precompiled header for all rooms. System headers alone, so that it is the same in every checkout.
set(RLX_PCH
    <algorithm> <array> <atomic> <chrono> <condition_variable> <cstddef> <cstdint> <cstring> <functional>
    <limits> <map> <memory> <mutex> <numeric> <optional> <set> <span> <string> <string_view> <thread>
    <tuple> <type_traits> <unordered_map> <unordered_set> <utility> <variant> <vector>
    <absl/status/status.h> <absl/status/statusor.h>)

function(rlx_pch target list_var)
  file(WRITE "${PROJECT_BINARY_DIR}/${target}.cc" "// Carries the precompiled header.\n")
  add_library(${target} OBJECT "${PROJECT_BINARY_DIR}/${target}.cc")
  target_compile_options(${target} PRIVATE ${RLX_WARNINGS} ${ARGN})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_precompile_headers(${target} PRIVATE ${${list_var}})
endfunction()
rlx_pch(rlx_pch RLX_PCH)

# rlx_sources(<variable> <folder>): every *.cc below the folder, but those that lack a package.
function(rlx_sources variable folder)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${folder}/*.cc")
  if(RLX_LEFT_OUT)
    list(FILTER found EXCLUDE REGEX "${RLX_LEFT_OUT}")
  endif()
  set(${variable} "${found}" PARENT_SCOPE)
endfunction()

# The build id as a header, made anew whenever a source of the compiler changes.
add_custom_target(rlx_build_id
  COMMAND ${CMAKE_COMMAND} "-DSOURCE_DIR=${PROJECT_SOURCE_DIR}"
          "-DCONFIGURATION=${CMAKE_BUILD_TYPE} ${RLX_SANITIZE}"
          "-DOUTPUT=${PROJECT_BINARY_DIR}/generated/rlx_build_id.h"
          -P "${PROJECT_SOURCE_DIR}/cmake/rlx_build_id.cmake"
  BYPRODUCTS "${PROJECT_BINARY_DIR}/generated/rlx_build_id.h"
  COMMENT "build id"
  VERBATIM)

# The op kinds and families as a header, from the rows. Those who include it wait for it through rlx_op_table.
add_custom_target(rlx_op_table
  COMMAND ${CMAKE_COMMAND} "-DSOURCE_DIR=${PROJECT_SOURCE_DIR}"
          "-DOUTPUT=${PROJECT_BINARY_DIR}/generated/rlx_op_table.h"
          -P "${PROJECT_SOURCE_DIR}/cmake/rlx_op_table.cmake"
  BYPRODUCTS "${PROJECT_BINARY_DIR}/generated/rlx_op_table.h"
  COMMENT "op table"
  VERBATIM)

# The passes' declarations and rows as a header, from their files.
add_custom_target(rlx_pass_list
  COMMAND ${CMAKE_COMMAND} "-DSOURCE_DIR=${PROJECT_SOURCE_DIR}"
          "-DOUTPUT=${PROJECT_BINARY_DIR}/generated/rlx_pass_list.h"
          -P "${PROJECT_SOURCE_DIR}/cmake/rlx_pass_list.cmake"
  BYPRODUCTS "${PROJECT_BINARY_DIR}/generated/rlx_pass_list.h"
  COMMENT "pass list"
  VERBATIM)

# What every target of ours has: include root, warnings, PCH; instruction sets by file name.
function(rlx_compile target)
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_compile_options(${target} PRIVATE ${RLX_WARNINGS})
  target_precompile_headers(${target} REUSE_FROM rlx_pch)
  target_include_directories(${target} PUBLIC "${PROJECT_BINARY_DIR}/generated")
  add_dependencies(${target} rlx_build_id rlx_op_table rlx_pass_list)
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    if(source MATCHES "_avx2\\.cc$")
      set(isa "-mavx2;-mfma;-mf16c")
    elseif(source MATCHES "_avx512\\.cc$")
      # g++ 12 takes the "undefined" operands of its own intrinsics for a mistake of ours (GCC PR 105593).
      set(isa "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx2;-mfma;-mf16c;-mprefer-vector-width=512;-Wno-maybe-uninitialized;-Wno-uninitialized")
    else()
      continue()
    endif()
    set_source_files_properties("${source}" PROPERTIES
      COMPILE_OPTIONS "${isa}" SKIP_PRECOMPILE_HEADERS ON)
  endforeach()
endfunction()

# rlx_link_existing(<target> <scope> <room>...): links the rooms that exist.
function(rlx_link_existing target scope)
  foreach(room IN LISTS ARGN)
    if(TARGET rlx_${room})
      target_link_libraries(${target} ${scope} rlx_${room})
    endif()
  endforeach()
endfunction()

# rlx_room(<name> [CORE] [LINKS <room>...] [PACKAGES <target>...]): runtime/<name> as target rlx_<name>.
function(rlx_room name)
  cmake_parse_arguments(arg "CORE" "" "LINKS;PACKAGES" ${ARGN})
  rlx_sources(sources "runtime/${name}")
  if(NOT sources)
    return()
  endif()
  if(arg_CORE)
    set(objects rlx_${name}_objects)
    add_library(${objects} OBJECT ${sources})
    rlx_compile(${objects})
    target_link_libraries(${objects} PUBLIC ${arg_PACKAGES})
    set_property(GLOBAL APPEND PROPERTY RLX_CORE_OBJECTS ${objects})
    set_property(GLOBAL APPEND PROPERTY RLX_CORE_PACKAGES ${arg_PACKAGES})
    add_library(rlx_${name} INTERFACE)
    target_link_libraries(rlx_${name} INTERFACE rlx_core)
    rlx_link_existing(rlx_${name} INTERFACE ${arg_LINKS})
  else()
    add_library(rlx_${name} STATIC ${sources})
    rlx_compile(rlx_${name})
    foreach(package IN LISTS arg_PACKAGES)
      if(TARGET ${package})
        target_link_libraries(rlx_${name} PUBLIC ${package})
      endif()
    endforeach()
    rlx_link_existing(rlx_${name} PUBLIC ${arg_LINKS})
  endif()
endfunction()

# Shared libraries name all that they need; of clang's sanitizers only the program has the run-time.
if(NOT (RLX_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang"))
  set(RLX_NO_UNDEFINED -Wl,--no-undefined)
endif()

# The CORE rooms as one shared library: the daemon and its plug-ins see one copy of every type.
function(rlx_core)
  get_property(objects GLOBAL PROPERTY RLX_CORE_OBJECTS)
  get_property(packages GLOBAL PROPERTY RLX_CORE_PACKAGES)
  add_library(rlx_core SHARED)
  foreach(object IN LISTS objects)
    target_sources(rlx_core PRIVATE $<TARGET_OBJECTS:${object}>)
  endforeach()
  set_target_properties(rlx_core PROPERTIES LINKER_LANGUAGE CXX INSTALL_RPATH "$ORIGIN")
  target_include_directories(rlx_core PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
  target_link_libraries(rlx_core PUBLIC ${packages})
  target_link_options(rlx_core PRIVATE ${RLX_NO_UNDEFINED})
  install(TARGETS rlx_core LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

# rlx_proto(): proto/**/*.proto as rlx_proto (messages) and rlx_proto_grpc (service stubs).
function(rlx_proto)
  set(root "${PROJECT_SOURCE_DIR}/proto")
  file(GLOB_RECURSE protos CONFIGURE_DEPENDS "${root}/*.proto")
  if(NOT protos)
    return()
  endif()
  rlx_need_grpc()
  set(out "${PROJECT_BINARY_DIR}/proto")
  file(MAKE_DIRECTORY "${out}")
  foreach(proto IN LISTS protos)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${proto}")
    file(RELATIVE_PATH path "${root}" "${proto}")
    string(REGEX REPLACE "\\.proto$" "" stem "${path}")
    set(generated "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h")
    list(APPEND messages "${out}/${stem}.pb.cc")
    set(plugin "")
    file(STRINGS "${proto}" services REGEX "^service ")
    if(services)
      list(APPEND generated "${out}/${stem}.grpc.pb.cc" "${out}/${stem}.grpc.pb.h")
      list(APPEND stubs "${out}/${stem}.grpc.pb.cc")
      set(plugin "--plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>" "--grpc_out=${out}")
    endif()
    add_custom_command(
      OUTPUT ${generated}
      COMMAND protobuf::protoc -I "${root}" "--cpp_out=${out}" ${plugin} "${proto}"
      DEPENDS ${protos}
      COMMENT "protoc ${path}"
      VERBATIM)
    list(APPEND all_generated ${generated})
  endforeach()
  # protoc's code is not ours to check, and checked it takes twice the time to compile. What it does to
  # memory that ours allocated still goes through ASAN's malloc; TSAN must see its atomics.
  set(flags "")
  if(RLX_SANITIZE MATCHES "address" AND NOT RLX_SANITIZE MATCHES "fuzzer")
    set(flags -fno-sanitize=all)
  endif()
  add_custom_target(rlx_proto_generated DEPENDS ${all_generated})
  add_library(rlx_proto STATIC ${messages})
  target_include_directories(rlx_proto SYSTEM PUBLIC "${out}")
  if(RLX_SANITIZE MATCHES "thread")
    target_include_directories(rlx_proto SYSTEM BEFORE PUBLIC "${PROJECT_SOURCE_DIR}/tests/tsan/include")
  endif()
  target_compile_options(rlx_proto PRIVATE ${flags})
  target_link_libraries(rlx_proto PUBLIC protobuf::libprotobuf)
  add_dependencies(rlx_proto rlx_proto_generated)
  if(stubs)
    add_library(rlx_proto_grpc STATIC ${stubs})
    target_link_libraries(rlx_proto_grpc PUBLIC rlx_proto gRPC::grpc++)
    target_compile_options(rlx_proto_grpc PRIVATE ${flags})
    if(RLX_SANITIZE MATCHES "thread")  # in every program that links gRPC
      add_library(rlx_grpc_edges OBJECT tests/tsan/grpc_edges.cc)
      target_compile_options(rlx_grpc_edges PRIVATE ${RLX_WARNINGS} -fno-sanitize=thread)
      target_link_libraries(rlx_grpc_edges PRIVATE gRPC::grpc++)
      target_link_libraries(rlx_proto_grpc INTERFACE $<TARGET_OBJECTS:rlx_grpc_edges>)
    endif()
    add_dependencies(rlx_proto_grpc rlx_proto_generated)
  endif()
endfunction()

# rlx_backend(<name> [LLVM]): backends/<name> as static rlx_backend_<name> (for tests) and as the plug-in
# lib/rlxd/backends/librlxd_backend_<name>.so, from the same objects.
function(rlx_backend name)
  cmake_parse_arguments(arg "LLVM" "" "" ${ARGN})
  rlx_sources(sources "backends/${name}")
  if(NOT sources)
    return()
  endif()
  set(objects rlx_backend_${name}_objects)
  add_library(${objects} OBJECT ${sources})
  rlx_compile(${objects})
  set(packages "")
  if(arg_LLVM)
    find_package(LLVM 19.1 REQUIRED CONFIG)
    target_include_directories(${objects} SYSTEM PRIVATE ${LLVM_INCLUDE_DIRS})
    list(APPEND packages LLVM)
  endif()
  rlx_link_existing(${objects} PUBLIC device ir kernel tensor base)

  add_library(rlx_backend_${name} STATIC $<TARGET_OBJECTS:${objects}>)
  target_include_directories(rlx_backend_${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(rlx_backend_${name} PUBLIC rlx_core PRIVATE ${packages})
  set_target_properties(rlx_backend_${name} PROPERTIES LINKER_LANGUAGE CXX)

  add_library(rlxd_backend_${name} MODULE $<TARGET_OBJECTS:${objects}>)
  target_link_libraries(rlxd_backend_${name} PRIVATE rlx_core ${packages})
  target_link_options(rlxd_backend_${name} PRIVATE ${RLX_NO_UNDEFINED})
  set_target_properties(rlxd_backend_${name} PROPERTIES
    LINKER_LANGUAGE CXX
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/rlxd/backends"
    INSTALL_RPATH "$ORIGIN/../..")
  # OPTIONAL: an image has the back ends that were built for it.
  install(TARGETS rlxd_backend_${name} OPTIONAL LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/rlxd/backends)
endfunction()

# rlx_server(): server/ as library rlx_server (tests link it) and bin/rlxd from server/main.cc.
function(rlx_server)
  rlx_sources(sources server)
  list(FILTER sources EXCLUDE REGEX "/server/main\\.cc$")
  if(NOT sources OR NOT TARGET rlx_engine)
    return()
  endif()
  rlx_need_grpc()
  find_package(prometheus-cpp REQUIRED CONFIG)
  add_library(rlx_server STATIC ${sources})
  rlx_compile(rlx_server)
  rlx_link_existing(rlx_server PUBLIC engine proto_grpc)
  target_link_libraries(rlx_server PUBLIC
    gRPC::grpc++ gRPC::grpc++_reflection prometheus-cpp::core civetweb-cpp civetweb)
  if(EXISTS "${PROJECT_SOURCE_DIR}/server/main.cc")
    add_executable(rlxd server/main.cc)
    rlx_compile(rlxd)
    target_link_libraries(rlxd PRIVATE rlx_server)
    install(TARGETS rlxd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endfunction()

# rlx_client(<name>): clients/<name> as library rlx_<name> (tests link it) and bin/<name> from its main.cc.
# Clients speak the wire: of the rooms they link wire, which also knows the IR as text, and what it stands on.
function(rlx_client name)
  rlx_sources(sources "clients/${name}")
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  if(NOT sources)
    return()
  endif()
  rlx_need_grpc()
  add_library(rlx_${name} STATIC ${sources})
  rlx_compile(rlx_${name})
  rlx_link_existing(rlx_${name} PUBLIC wire proto_grpc)
  target_link_libraries(rlx_${name} PUBLIC gRPC::grpc++)
  add_executable(${name} "clients/${name}/main.cc")
  rlx_compile(${name})
  target_link_libraries(${name} PRIVATE rlx_${name})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
