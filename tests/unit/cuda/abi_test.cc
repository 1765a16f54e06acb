// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/abi.h"

#include <gtest/gtest.h>

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#include <cuda.h>
#include <nvrtc.h>

// Our words for the vendor's libraries beside the vendor's own.
#define RLX_SAME(name) \
  EXPECT_EQ(static_cast<long long>(rlx::cuda::name), static_cast<long long>(::name)) << #name

TEST(Abi, NumbersAreTheVendors) {
  RLX_SAME(CUDA_SUCCESS);
  RLX_SAME(CUDA_ERROR_INVALID_VALUE);
  RLX_SAME(CUDA_ERROR_OUT_OF_MEMORY);
  RLX_SAME(CUDA_ERROR_DEVICE_UNAVAILABLE);
  RLX_SAME(CUDA_ERROR_NO_DEVICE);
  RLX_SAME(CUDA_ERROR_ECC_UNCORRECTABLE);
  RLX_SAME(CUDA_ERROR_ILLEGAL_ADDRESS);
  RLX_SAME(CUDA_ERROR_LAUNCH_TIMEOUT);
  RLX_SAME(CUDA_ERROR_CONTEXT_IS_DESTROYED);
  RLX_SAME(CUDA_ERROR_ASSERT);
  RLX_SAME(CUDA_ERROR_HARDWARE_STACK_ERROR);
  RLX_SAME(CUDA_ERROR_ILLEGAL_INSTRUCTION);
  RLX_SAME(CUDA_ERROR_MISALIGNED_ADDRESS);
  RLX_SAME(CUDA_ERROR_INVALID_ADDRESS_SPACE);
  RLX_SAME(CUDA_ERROR_INVALID_PC);
  RLX_SAME(CUDA_ERROR_LAUNCH_FAILED);
  RLX_SAME(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  RLX_SAME(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  RLX_SAME(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  RLX_SAME(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
  RLX_SAME(CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
  RLX_SAME(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
  RLX_SAME(CU_TENSOR_MAP_INTERLEAVE_NONE);
  RLX_SAME(CU_TENSOR_MAP_SWIZZLE_64B);
  RLX_SAME(CU_TENSOR_MAP_SWIZZLE_128B);
  RLX_SAME(CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
  RLX_SAME(CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  RLX_SAME(CU_STREAM_NON_BLOCKING);
  RLX_SAME(CU_EVENT_DEFAULT);
  RLX_SAME(CU_STREAM_CAPTURE_MODE_RELAXED);
  RLX_SAME(NVRTC_SUCCESS);
  RLX_SAME(CUBLAS_STATUS_SUCCESS);
  RLX_SAME(CUBLAS_STATUS_ALLOC_FAILED);
  RLX_SAME(CUBLAS_STATUS_NOT_SUPPORTED);
  RLX_SAME(CUBLAS_OP_N);
  RLX_SAME(CUBLAS_OP_T);
  RLX_SAME(CUBLAS_COMPUTE_32F);
  RLX_SAME(CUBLAS_COMPUTE_64F);
  RLX_SAME(CUDA_R_32F);
  RLX_SAME(CUDA_R_64F);
  RLX_SAME(CUDA_R_16F);
  RLX_SAME(CUDA_R_16BF);
  RLX_SAME(CUBLASLT_EPILOGUE_DEFAULT);
  RLX_SAME(CUBLASLT_EPILOGUE_RELU);
  RLX_SAME(CUBLASLT_EPILOGUE_BIAS);
  RLX_SAME(CUBLASLT_EPILOGUE_RELU_BIAS);
  RLX_SAME(CUBLASLT_EPILOGUE_GELU);
  RLX_SAME(CUBLASLT_EPILOGUE_GELU_BIAS);
  RLX_SAME(CUBLASLT_MATMUL_DESC_TRANSA);
  RLX_SAME(CUBLASLT_MATMUL_DESC_TRANSB);
  RLX_SAME(CUBLASLT_MATMUL_DESC_EPILOGUE);
  RLX_SAME(CUBLASLT_MATMUL_DESC_BIAS_POINTER);
  RLX_SAME(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
  RLX_SAME(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
  RLX_SAME(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
  RLX_SAME(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
  RLX_SAME(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
  RLX_SAME(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
  RLX_SAME(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
}

TEST(Abi, TypesHaveTheVendorsSizes) {
  using namespace rlx;
  EXPECT_EQ(sizeof(cuda::CUdeviceptr), sizeof(::CUdeviceptr));
  EXPECT_EQ(sizeof(cuda::CUdevice), sizeof(::CUdevice));
  EXPECT_EQ(sizeof(cuda::CUresult), sizeof(::CUresult));
  EXPECT_EQ(sizeof(cuda::cublasStatus_t), sizeof(::cublasStatus_t));
  EXPECT_EQ(sizeof(cuda::cublasLtEpilogue_t), sizeof(::cublasLtEpilogue_t));
  EXPECT_EQ(sizeof(cuda::cublasOperation_t), sizeof(::cublasOperation_t));
  EXPECT_EQ(sizeof(cuda::cublasLtMatmulAlgo_t), sizeof(::cublasLtMatmulAlgo_t));
  EXPECT_EQ(sizeof(cuda::CUtensorMap), sizeof(::CUtensorMap));
  EXPECT_GE(alignof(cuda::CUtensorMap), alignof(::CUtensorMap));
  EXPECT_EQ(sizeof(cuda::CUlaunchConfig), sizeof(::CUlaunchConfig));
  EXPECT_EQ(offsetof(cuda::CUlaunchConfig, hStream), offsetof(::CUlaunchConfig, hStream));
  EXPECT_EQ(offsetof(cuda::CUlaunchConfig, attrs), offsetof(::CUlaunchConfig, attrs));
  EXPECT_EQ(sizeof(cuda::CUlaunchAttribute), sizeof(::CUlaunchAttribute));
  EXPECT_EQ(offsetof(cuda::CUlaunchAttribute, value), offsetof(::CUlaunchAttribute, value));
  using Ours = cuda::cublasLtMatmulHeuristicResult_t;
  using Theirs = ::cublasLtMatmulHeuristicResult_t;
  EXPECT_EQ(sizeof(Ours), sizeof(Theirs));
  EXPECT_EQ(offsetof(Ours, workspaceSize), offsetof(Theirs, workspaceSize));
  EXPECT_EQ(offsetof(Ours, state), offsetof(Theirs, state));
}

#else

TEST(Abi, NumbersAreTheVendors) { GTEST_SKIP() << "the vendor's headers are not here"; }

#endif
