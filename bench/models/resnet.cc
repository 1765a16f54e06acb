// SPDX-License-Identifier: Apache-2.0
#include "bench/models/parts.h"

namespace rlx::models {
namespace {

using Ints = std::vector<int64_t>;

// A convolution without bias, `kernel` odd and padded to keep the size but for the stride, and its
// batch norm.
Value ConvNorm(Net& net, Value x, int64_t out, int64_t kernel, int64_t stride) {
  const int64_t in = net.b().type(x).shape[1].value(), pad = kernel / 2;
  const Value conv = net.b().Emit(OpKind::kConv, {x, net.Param("w", {out, in, kernel, kernel})},
                                  {{"strides", Ints{stride, stride}},
                                   {"pads", Ints{pad, pad, pad, pad}},
                                   {"dilations", Ints{1, 1}}});
  return net.b().Emit(OpKind::kBatchNorm,
                      {conv, net.Param("bn_scale", {out}), net.Param("bn_bias", {out}),
                       net.Param("bn_mean", {out}), net.Param("bn_variance", {out})},
                      {{"eps", 1e-5}});
}

// relu(x' + conv1x1(relu(conv3x3(relu(conv1x1(x)))))), x' projected where its shape differs.
Value Bottleneck(Net& net, std::string_view name, Value x, int64_t width, int64_t stride) {
  const auto part = [&](std::string_view which) { net.SetPrefix(Cat(name, which, ".")); };
  GraphBuilder& b = net.b();
  part("a");
  Value y = b.Unary(OpKind::kRelu, ConvNorm(net, x, width, 1, 1));
  part("b");
  y = b.Unary(OpKind::kRelu, ConvNorm(net, y, width, 3, stride));
  part("c");
  y = ConvNorm(net, y, 4 * width, 1, 1);
  if (stride != 1 || b.type(x).shape[1] != Dim(4 * width)) {
    part("shortcut");
    x = ConvNorm(net, x, 4 * width, 1, stride);
  }
  return b.Unary(OpKind::kRelu, b.Add(y, x));
}

}  // namespace

Module ResNet(int64_t size, const Extents& extents, FusionPolicy policy) {
  Net net("resnet", {.batch = extents.batch, .max_batch = extents.max_batch}, policy);
  GraphBuilder& b = net.b();
  net.SetPrefix("stem.");
  Value x = net.Input("image", {extents.batch, 3, size, size});
  x = b.Unary(OpKind::kRelu, ConvNorm(net, x, 64, 7, 2));
  x = b.Emit(OpKind::kPool, {x},
             {{"mode", std::string("max")},
              {"kernel", Ints{3, 3}},
              {"strides", Ints{2, 2}},
              {"pads", Ints{1, 1, 1, 1}}});
  int64_t width = 64;
  for (const int64_t blocks : {3, 4, 6, 3}) {
    for (int64_t i = 0; i < blocks; ++i) {
      x = Bottleneck(net, Cat("stage", width, ".", i, "."), x, width, i == 0 && width > 64 ? 2 : 1);
    }
    width *= 2;
  }
  net.SetPrefix("head.");
  x = b.Reduce(OpKind::kReduceMean, x, {2, 3}, false);
  return net.Finish(
      "logits",
      net.Block(OpKind::kHirLinear, {x, net.Param("w", {2048, 1000}), net.Param("b", {1000})}, {}));
}

}  // namespace rlx::models
