# SPDX-License-Identifier: Apache-2.0
# Language, warnings, sanitizers, linker, compiler cache, output folders: what every target shares.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set_property(GLOBAL PROPERTY USE_FOLDERS ON)

option(RLX_WERROR "Treat warnings as errors" OFF)
set(RLX_SANITIZE "" CACHE STRING "Comma-separated -fsanitize= list, e.g. address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# CHECKs are part of the program: no NDEBUG. -g1 keeps stack traces readable at little cost.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

# -fPIC everywhere, instead of CMake's PIC property: executables and libraries then agree on flags and
# share one precompiled header. -pthread for the same reason: some packages ask for it, some do not.
add_compile_options(-fPIC -pthread)
# File names inside binaries are relative to the source folder (ccache makes them relative to the build
# folder first), so that the same source gives the same binary anywhere.
file(RELATIVE_PATH to_source "${PROJECT_BINARY_DIR}" "${PROJECT_SOURCE_DIR}")
add_compile_options("-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=" "-ffile-prefix-map=${to_source}=")
set(RLX_WARNINGS -Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports std::string's own memcpy as overlapping (GCC PR 105329).
  list(APPEND RLX_WARNINGS -Wno-restrict)
endif()
# A designated initializer that leaves members at their default is meant.
list(APPEND RLX_WARNINGS -Wno-missing-field-initializers)
if(RLX_WERROR)
  list(APPEND RLX_WARNINGS -Werror)
endif()

if(RLX_SANITIZE)
  add_compile_options(-fsanitize=${RLX_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${RLX_SANITIZE})
  if(RLX_SANITIZE MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # What ASAN or the processor reports as well, at a sixth of the compile time.
    add_compile_options(-fno-sanitize=null,object-size,vptr)
  endif()
  # Checked code is not timed; -O1 compiles in two thirds of the time of -O2.
  string(REPLACE "-O2" "-O1" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
  # The sanitizers' instrumentation hides initialisation from g++'s data flow.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND RLX_WARNINGS -Wno-maybe-uninitialized)
  endif()
  if(RLX_SANITIZE MATCHES "thread")
    # std::atomic_thread_fence in library headers; TSAN does not model it and g++ says so.
    list(APPEND RLX_WARNINGS -Wno-tsan)
  endif()
endif()

find_program(RLX_MOLD mold)
if(RLX_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Sources under the base directory hash by relative path, and so two checkouts share one cache.
find_program(RLX_CCACHE ccache)
if(RLX_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_NOHASHDIR=1
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
      ${RLX_CCACHE})
endif()

# bin/, lib/ and lib/rlxd/backends/ (plug-ins) have the same shape in the build tree and when installed.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/archive")
set(CMAKE_INSTALL_BINDIR bin)
set(CMAKE_INSTALL_LIBDIR lib)
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib")
