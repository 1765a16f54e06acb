// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "rlx/v1/admin.grpc.pb.h"
#include "rlx/v1/capabilities.grpc.pb.h"
#include "rlx/v1/devices.grpc.pb.h"
#include "server/call.h"
#include "server/guarded_requests.h"

namespace rlx::server {

class DeviceService final : public v1::Devices::CallbackService {
 public:
  explicit DeviceService(Frontend& frontend);
  ~DeviceService() override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListDevicesRequest* request,
                                 v1::ListDevicesResponse* response) override;

 private:
  Frontend& frontend_;
  const Method list_{frontend_, "Devices", "List"};
};

// GetCapabilities: what does not change while the daemon runs is put together once.
class CapabilityService final : public v1::Server::CallbackService {
 public:
  explicit CapabilityService(Frontend& frontend);
  ~CapabilityService() override;
  grpc::ServerUnaryReactor* GetCapabilities(grpc::CallbackServerContext* context,
                                            const v1::GetCapabilitiesRequest* request,
                                            v1::GetCapabilitiesResponse* response) override;

 private:
  Frontend& frontend_;
  const Method get_{frontend_, "Server", "GetCapabilities"};
  v1::GetCapabilitiesResponse fixed_;
};

class AdminService final : public v1::Admin::CallbackService {
 public:
  // `begin_drain` turns readiness off.
  AdminService(Frontend& frontend, std::function<void()> begin_drain);
  ~AdminService() override;
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const v1::DrainRequest* request,
                                  v1::DrainResponse* response) override;
  grpc::ServerUnaryReactor* CacheStats(grpc::CallbackServerContext* context,
                                       const v1::CacheStatsRequest* request,
                                       v1::CacheStatsResponse* response) override;
  grpc::ServerUnaryReactor* CacheList(grpc::CallbackServerContext* context,
                                      const v1::CacheListRequest* request,
                                      v1::CacheListResponse* response) override;
  grpc::ServerUnaryReactor* CacheClear(grpc::CallbackServerContext* context,
                                       const v1::CacheClearRequest* request,
                                       v1::CacheClearResponse* response) override;

 private:
  Frontend& frontend_;
  const std::function<void()> begin_drain_;
  const Method drain_{frontend_, "Admin", "Drain"};
  const Method cache_stats_{frontend_, "Admin", "CacheStats"};
  const Method cache_list_{frontend_, "Admin", "CacheList"};
  const Method cache_clear_{frontend_, "Admin", "CacheClear"};
};

}  // namespace rlx::server
