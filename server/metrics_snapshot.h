// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <prometheus/metric_family.h>

#include <map>
#include <string>
#include <vector>

namespace rlx::server {

// Builds families of gauges and counters from what is read now.
class Snapshot {
 public:
  using Labels = std::map<std::string, std::string>;

  void Add(prometheus::MetricType type, const std::string& name, const std::string& help,
           const Labels& labels, double value) {
    auto [it, fresh] = index_.try_emplace(name, families_.size());
    if (fresh) families_.push_back({name, help, type, {}});
    prometheus::ClientMetric metric;
    for (const auto& [key, text] : labels) metric.label.push_back({key, text});
    (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    families_[it->second].metric.push_back(std::move(metric));
  }
  void SetGauge(const std::string& name, const std::string& help, const Labels& labels,
                double value) {
    Add(prometheus::MetricType::Gauge, name, help, labels, value);
  }
  void SetCounter(const std::string& name, const std::string& help, const Labels& labels,
                  double value) {
    Add(prometheus::MetricType::Counter, name, help, labels, value);
  }
  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  std::map<std::string, size_t> index_;
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace rlx::server
