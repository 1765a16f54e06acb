// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/import/import_fixture.h"

namespace rlx::onnx {

std::vector<EvalTensor> RunModel(const std::string& bytes, TensorMap inputs,
                                 const DimBinding& sizes) {
  const SharedBytes model{std::string(bytes)};
  const auto imported = Import(model, {}, {});
  EXPECT_TRUE(imported.ok()) << imported.status();
  if (!imported.ok()) return {};
  EXPECT_TRUE(Verify(imported->module).ok()) << Verify(imported->module);
  for (const Weight& weight : imported->weights) {
    EXPECT_EQ(weight.location, "");
    const auto tensor = HostTensor::Create(weight.type.dtype, weight.type.StaticDims(),
                                           model.Slice(weight.offset, weight.length));
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    if (tensor.ok()) inputs.insert_or_assign(weight.param, *tensor);
  }
  const auto bound = BindSymbols(imported->module.graph, sizes);
  EXPECT_TRUE(bound.ok()) << bound.status();
  if (!bound.ok()) return {};
  const auto results = Evaluate(*bound, inputs);
  EXPECT_TRUE(results.ok()) << results.status();
  return results.ok() ? *results : std::vector<EvalTensor>{};
}

}  // namespace rlx::onnx
