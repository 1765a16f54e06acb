# SPDX-License-Identifier: Apache-2.0
# bench/*.cc: one binary each in bin/bench, built only by the target `bench`.
file(GLOB benches CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/bench/*.cc")
if(benches)
  find_package(benchmark REQUIRED CONFIG)
  add_custom_target(bench)
endif()
foreach(source IN LISTS benches)
  get_filename_component(name "${source}" NAME_WE)
  add_executable(bench_${name} EXCLUDE_FROM_ALL "${source}")
  rlx_compile(bench_${name})
  set_target_properties(bench_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin/bench")
  target_link_libraries(bench_${name} PRIVATE rlx_models rlx_core benchmark::benchmark)
  rlx_link_existing(bench_${name} PRIVATE test_support passes lower cache wire import stages engine backend_cpu server)
  add_dependencies(bench bench_${name})
endforeach()

# The peer of some. Linked directly: its CMake package asks for OpenCL, and OpenMP's flag would part the
# bench from the precompiled header.
find_library(RLX_ONEDNN dnnl)
find_package(OpenMP COMPONENTS CXX QUIET)
foreach(name bench_gemm_bench bench_conv_bench)
  if(TARGET ${name} AND RLX_ONEDNN AND OpenMP_CXX_FOUND)
    target_link_libraries(${name} PRIVATE ${RLX_ONEDNN} ${OpenMP_CXX_LIBRARIES})
    target_compile_definitions(${name} PRIVATE RLX_HAVE_ONEDNN=1)
  endif()
endforeach()
