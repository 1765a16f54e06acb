# SPDX-License-Identifier: Apache-2.0
# Third-party packages of Debian bookworm; scripts/packages.txt names the Debian packages.
# Those that one room alone needs are looked up only when that room exists.

find_package(Threads REQUIRED)
find_package(absl REQUIRED CONFIG)
find_package(OpenSSL REQUIRED COMPONENTS Crypto SSL)
# Debian's hiredis has no CMake package.
find_library(RLX_HIREDIS hiredis REQUIRED)
add_library(hiredis INTERFACE IMPORTED)
target_link_libraries(hiredis INTERFACE "${RLX_HIREDIS}")

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
