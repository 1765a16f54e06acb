# SPDX-License-Identifier: Apache-2.0
# Third-party packages of Debian bookworm; scripts/packages.txt names the Debian packages.
# Those that one room alone needs are looked up only when that room exists.

find_package(Threads REQUIRED)
find_package(absl REQUIRED CONFIG)
find_package(OpenSSL REQUIRED COMPONENTS Crypto SSL)

# Debian's hiredis has no CMake package. Without it rlxd has no shared cache: what speaks to Redis is left out
# (rlx_sources), and --shared_cache is refused.
find_library(RLX_HIREDIS hiredis)
find_path(RLX_HIREDIS_INCLUDE hiredis/hiredis.h)
if(RLX_HIREDIS AND RLX_HIREDIS_INCLUDE)
  add_library(hiredis INTERFACE IMPORTED)
  target_link_libraries(hiredis INTERFACE "${RLX_HIREDIS}")
  target_include_directories(hiredis INTERFACE "${RLX_HIREDIS_INCLUDE}")
  set_source_files_properties("${PROJECT_SOURCE_DIR}/runtime/cache/shared_store.cc" PROPERTIES
    COMPILE_DEFINITIONS RLX_HIREDIS)
else()
  message(WARNING "hiredis (libhiredis-dev) is not there: rlxd is built without its shared cache")
  set(RLX_LEFT_OUT "/redis_(connection|endpoint|link|socket|store|process|[a-z]+_test)\\.cc$|/shared_cache_test\\.cc$")
endif()

function(rlx_need_protobuf)
  if(NOT TARGET protobuf::libprotobuf)
    find_package(Protobuf 3.21 REQUIRED)
    set_property(TARGET protobuf::libprotobuf PROPERTY IMPORTED_GLOBAL TRUE)
    set_property(TARGET protobuf::protoc PROPERTY IMPORTED_GLOBAL TRUE)
  endif()
endfunction()

macro(rlx_need_grpc)
  rlx_need_protobuf()
  if(NOT TARGET gRPC::grpc++)
    find_package(gRPC 1.51 REQUIRED CONFIG)
  endif()
endmacro()
