// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/cache/redis_socket.h"

struct redisReader;  // hiredis'

namespace rlx::cache {

struct RedisReply {
  enum class Kind : uint8_t { kNil, kNumber, kText, kList, kRefusal };
  Kind kind = Kind::kNil;
  int64_t number = 0;
  std::string text;
  std::vector<RedisReply> items;
};

// One conversation with a Redis server: a command, its reply, and so on. After an error other than
// FailedPrecondition it cannot go on. Not thread safe.
//
// Errors: what RedisSocket has; FailedPrecondition, the server refused the command, in its words;
// DataLoss, what came is no reply.
class RedisConnection {
 public:
  // Bytes a second below which the server counts as gone.
  static constexpr double kLeastRate = 50e6;

  // Connects, and says who we are and which database is meant.
  static absl::StatusOr<std::unique_ptr<RedisConnection>> Open(const RedisEndpoint& to,
                                                               RedisTime deadline);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  // All of the reply is here by `deadline`, but for the time that what was sent and received takes
  // at kLeastRate: that much `deadline` moves, for the next call too.
  absl::StatusOr<RedisReply> Call(const std::vector<std::string_view>& words, RedisTime& deadline);

 private:
  struct FreeReader {
    void operator()(redisReader* reader) const;
  };
  explicit RedisConnection(RedisSocket socket);

  RedisSocket socket_;
  std::unique_ptr<redisReader, FreeReader> reader_;
  std::vector<char> buffer_;
};

}  // namespace rlx::cache
