# SPDX-License-Identifier: Apache-2.0
# Tests, one binary a folder. They run from the source folder, so that data files have relative paths.
find_package(GTest REQUIRED)
include(GoogleTest)

set(RLX_TEST_PCH ${RLX_PCH} <gmock/gmock.h> <gtest/gtest.h>)
# What is checked is the rooms: tests themselves compile in two thirds of the time without optimisation.
set(RLX_TEST_FLAGS "")
if(RLX_SANITIZE)
  set(RLX_TEST_FLAGS -O0)
endif()
rlx_pch(rlx_test_pch RLX_TEST_PCH ${RLX_TEST_FLAGS})
target_link_libraries(rlx_test_pch PRIVATE GTest::gmock)

# All rooms above the core and the back ends in static form: what a test of the whole may use.
set(RLX_EVERYTHING passes lower cache wire import stages engine backend_cpu)

function(rlx_compile_test target)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
  add_dependencies(${target} rlx_op_table rlx_pass_list)
  target_compile_options(${target} PRIVATE ${RLX_WARNINGS} ${RLX_TEST_FLAGS})
  target_precompile_headers(${target} REUSE_FROM rlx_test_pch)
  target_link_libraries(${target} PRIVATE rlx_core GTest::gmock)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin/tests")
endfunction()

# rlx_test(<target> SOURCES <file>... LINKS <room>...): a GoogleTest binary; every case is a ctest entry.
function(rlx_test target)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${target} ${arg_SOURCES})
  rlx_compile_test(${target})
  rlx_link_existing(${target} PRIVATE test_support ${arg_LINKS})
  target_link_libraries(${target} PRIVATE GTest::gtest_main)
  gtest_discover_tests(${target}
    DISCOVERY_MODE PRE_TEST
    TEST_PREFIX "${target}."
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    PROPERTIES TIMEOUT 300 LABELS ${target})
endfunction()

# tests/support: helpers that several test binaries share. It links the core alone, so that the tests of
# one room build nothing else; a file that uses more is for tests that link more.
rlx_sources(support tests/support)
if(support)
  add_library(rlx_test_support STATIC ${support})
  rlx_compile(rlx_test_support)  # optimised as the rooms are: most of a property test's time is here
  target_link_libraries(rlx_test_support PRIVATE rlx_core GTest::gmock)
endif()

# tests/unit/<room>/*_test.cc -> unit_<room>, linked with that room and what it reaches. A part of a back
# end may have a folder of its own: <backend>_<part>.
file(GLOB rooms CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/tests/unit" "${PROJECT_SOURCE_DIR}/tests/unit/*")
foreach(room IN LISTS rooms)
  rlx_sources(sources "tests/unit/${room}")
  if(sources)
    string(REGEX REPLACE "_.*" "" backend "${room}")
    if(room STREQUAL "engine")  # runs what it compiles
      set(backend cpu)
    endif()
    set(networks "")
    if(room STREQUAL "stages")  # compiles whole networks
      set(networks models)
    elseif(room STREQUAL "cuda")  # likewise
      set(networks models stages)
    elseif(room STREQUAL "engine")  # documents every back end
      set(networks backend_cuda)
    endif()
    rlx_test(unit_${room} SOURCES ${sources} LINKS ${room} backend_${backend} ${networks})
    if(room STREQUAL "cuda")  # what it says of CUDA's libraries is held to their headers, where they are
      find_path(RLX_CUDA_INCLUDE cublasLt.h PATHS /usr/local/cuda/include)
      mark_as_advanced(RLX_CUDA_INCLUDE)
      if(RLX_CUDA_INCLUDE)
        target_include_directories(unit_cuda SYSTEM PRIVATE "${RLX_CUDA_INCLUDE}")
      endif()
    endif()
  endif()
endforeach()

# tests/property/<name>_test.cc -> property_<name>.
file(GLOB properties CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/property/*_test.cc")
foreach(source IN LISTS properties)
  get_filename_component(name "${source}" NAME_WE)
  string(REGEX REPLACE "_test$" "" name "${name}")
  rlx_test(property_${name} SOURCES "${source}" tests/property/main.cc LINKS ${RLX_EVERYTHING})
endforeach()

# tests/fuzz -> fuzz_tests. With the preset fuzz also bin/fuzz/<target>, a libFuzzer program each.
rlx_sources(sources tests/fuzz)
list(FILTER sources EXCLUDE REGEX "/(fuzz_test|libfuzzer)\\.cc$")
if(sources)
  add_library(rlx_fuzz_targets STATIC ${sources})
  rlx_compile_test(rlx_fuzz_targets)
  rlx_link_existing(rlx_fuzz_targets PUBLIC test_support ${RLX_EVERYTHING})
  rlx_test(fuzz_tests SOURCES tests/fuzz/fuzz_test.cc LINKS fuzz_targets)
  foreach(name module text lir artifact onnx)
    if(RLX_SANITIZE MATCHES "fuzzer")
      string(SUBSTRING ${name} 0 1 first)
      string(TOUPPER ${first} first)
      string(REGEX REPLACE "^.(.*)$" "k${first}\\1Target" symbol "${name}")
      add_executable(fuzz_${name} tests/fuzz/libfuzzer.cc)
      rlx_compile_test(fuzz_${name})
      target_compile_definitions(fuzz_${name} PRIVATE RLX_FUZZ_TARGET=${symbol})
      target_link_libraries(fuzz_${name} PRIVATE rlx_fuzz_targets GTest::gtest)
      target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
      set_target_properties(fuzz_${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin/fuzz")
    endif()
  endforeach()
endif()

# tests/server/*_test.cc -> server_tests: in-process gRPC.
rlx_sources(sources tests/server)
if(sources AND TARGET rlx_server)
  rlx_test(server_tests SOURCES ${sources} LINKS server ${RLX_EVERYTHING})
endif()

# tests/conformance -> bin/rlx-conformance, a program for users too (`--backend=...`).
rlx_sources(sources tests/conformance)
if(sources)
  add_executable(rlx-conformance ${sources})
  rlx_compile(rlx-conformance)
  target_link_libraries(rlx-conformance PRIVATE rlx_core)
  rlx_link_existing(rlx-conformance PRIVATE test_support ${RLX_EVERYTHING})
  set(samples 24)
  set(few_samples 8)
  if(RLX_SANITIZE)
    set(samples 8)
    set(few_samples 4)
  endif()
  add_test(NAME conformance.cpu COMMAND rlx-conformance --backend=cpu --samples=${samples}
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  foreach(dtype f16 bf16 f64 fp8e4m3 fp8e5m2)
    add_test(NAME conformance.cpu_${dtype} COMMAND rlx-conformance --backend=cpu --dtype=${dtype} --samples=${few_samples}
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(conformance.cpu_${dtype} PROPERTIES TIMEOUT 1200 LABELS conformance)
  endforeach()
  # The kernels that a GPU gets.
  add_test(NAME conformance.interpreter
    COMMAND rlx-conformance --backend=interpreter --samples=${few_samples}
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(conformance.interpreter PROPERTIES TIMEOUT 1200 LABELS conformance)
  # An older processor's profile runs here as well: packing must follow the profile, not the machine.
  add_test(NAME conformance.cpu_baseline
    COMMAND rlx-conformance --backend=cpu --profile=cpu:x86-64 --samples=${few_samples}
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(conformance.cpu conformance.cpu_baseline PROPERTIES TIMEOUT 1200 LABELS conformance)
  set_tests_properties(conformance.cpu PROPERTIES COST 100)
endif()

# Python: clients/python/tests against a fake daemon, tests/python against the one that was built. The
# environment is scripts/setup.sh's. COST: the longest begin first, or one processor idles at the end.
set(RLX_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python")
file(GLOB environment CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/.venv/rlxd-stamp")
if(environment)
  file(GLOB found CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/clients/python/tests/test_*.py")
  if(found)
    add_test(NAME python.client COMMAND "${RLX_PYTHON}" -m pytest -q -p no:cacheprovider tests
             WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}/clients/python")
    set_tests_properties(python.client PROPERTIES TIMEOUT 600 LABELS python)
  endif()
  file(GLOB found CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/python/test_*.py")
  if(found AND TARGET rlxd)
    add_test(NAME python.server COMMAND "${RLX_PYTHON}" -m pytest -q -p no:cacheprovider tests/python
             WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(python.server PROPERTIES
      TIMEOUT 1800 COST 200 LABELS python ENVIRONMENT "RLXD_BINARY=$<TARGET_FILE:rlxd>")
  endif()
  # The onnx package's node tests, against a table of those that do not pass; of a slow build some.
  if(EXISTS "${PROJECT_SOURCE_DIR}/tests/onnx/node_tests.py" AND TARGET rlxd)
    set(every 1)
    if(RLX_SANITIZE)
      set(every 8)
    endif()
    add_test(NAME onnx.node_tests COMMAND "${RLX_PYTHON}" tests/onnx/node_tests.py --every ${every}
             WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(onnx.node_tests PROPERTIES
      TIMEOUT 1800 COST 200 LABELS onnx ENVIRONMENT "RLXD_BINARY=$<TARGET_FILE:rlxd>")
  endif()
endif()
