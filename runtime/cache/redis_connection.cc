// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/redis_connection.h"

#include <hiredis/hiredis.h>

#include <algorithm>

namespace rlx::cache {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kMaxReplyBytes = 4 << 20;  // four times what we ask for
constexpr int kMaxItems = 4096;             // of a list: whoever sends more is no server of ours

// hiredis asks for an object at each step of a reply, and keeps the outermost; an item of a list
// lies in its list, which has its size from the start.
RedisReply* Place(const redisReadTask* task, RedisReply::Kind kind) {
  RedisReply* reply = nullptr;
  if (task->parent == nullptr) {
    reply = new RedisReply;
  } else {
    reply = &static_cast<RedisReply*>(task->parent->obj)->items[static_cast<size_t>(task->idx)];
  }
  reply->kind = kind;
  return reply;
}

void* MakeText(const redisReadTask* task, char* text, size_t size) {
  const bool refusal = task->type == REDIS_REPLY_ERROR;
  RedisReply* reply = Place(task, refusal ? RedisReply::Kind::kRefusal : RedisReply::Kind::kText);
  reply->text.assign(text, size);
  return reply;
}

void* MakeList(const redisReadTask* task, int size) {
  if (size > kMaxItems) return nullptr;
  RedisReply* reply = Place(task, RedisReply::Kind::kList);
  reply->items.resize(static_cast<size_t>(std::max(size, 0)));
  return reply;
}

void* MakeNumber(const redisReadTask* task, long long value) {
  RedisReply* reply = Place(task, RedisReply::Kind::kNumber);
  reply->number = value;
  return reply;
}

void* MakeNil(const redisReadTask* task) { return Place(task, RedisReply::Kind::kNil); }

void Free(void* reply) {
  delete static_cast<RedisReply*>(reply);
}  // called for the outermost alone

redisReplyObjectFunctions functions = {MakeText, MakeList, MakeNumber, MakeNil, Free};

std::string Format(const std::vector<std::string_view>& words) {
  std::vector<const char*> texts;
  std::vector<size_t> sizes;
  for (std::string_view word : words) {
    texts.push_back(word.data());
    sizes.push_back(word.size());
  }
  char* command = nullptr;
  const int size =
      redisFormatCommandArgv(&command, static_cast<int>(words.size()), texts.data(), sizes.data());
  std::string out(command, static_cast<size_t>(std::max(size, 0)));
  redisFreeCommand(command);
  return out;
}

RedisTime::duration TimeOf(size_t bytes) {
  return std::chrono::nanoseconds(
      static_cast<int64_t>(static_cast<double>(bytes) / RedisConnection::kLeastRate * 1e9));
}

}  // namespace

void RedisConnection::FreeReader::operator()(redisReader* reader) const { redisReaderFree(reader); }

RedisConnection::RedisConnection(RedisSocket socket)
    : socket_(std::move(socket)),
      reader_(redisReaderCreateWithFunctions(&functions)),
      buffer_(kReadBytes) {}

RedisConnection::~RedisConnection() = default;

absl::StatusOr<std::unique_ptr<RedisConnection>> RedisConnection::Open(const RedisEndpoint& to,
                                                                       RedisTime deadline) {
  RLX_ASSIGN(RedisSocket socket, RedisSocket::Connect(to, deadline));
  std::unique_ptr<RedisConnection> out(new RedisConnection(std::move(socket)));
  const RedisServer& server = to.server;
  if (!server.user.empty()) {
    RLX_TRY(out->Call({"AUTH", server.user, server.password}, deadline).status());
  } else if (!server.password.empty()) {
    RLX_TRY(out->Call({"AUTH", server.password}, deadline).status());
  }
  if (server.database != 0) {
    RLX_TRY(out->Call({"SELECT", Cat(server.database)}, deadline).status());
  }
  return out;
}

absl::StatusOr<RedisReply> RedisConnection::Call(const std::vector<std::string_view>& words,
                                                 RedisTime& deadline) {
  const std::string command = Format(words);
  deadline += TimeOf(command.size());
  RLX_TRY(socket_.Write(command, deadline));
  size_t received = 0;
  for (;;) {
    RLX_ASSIGN(const size_t got, socket_.Read(buffer_, deadline));
    deadline += TimeOf(got);
    received += got;
    void* object = nullptr;
    if (received > kMaxReplyBytes ||
        redisReaderFeed(reader_.get(), buffer_.data(), got) != REDIS_OK ||
        redisReaderGetReply(reader_.get(), &object) != REDIS_OK) {
      return DataLoss("the shared cache's server: what it says is no reply of Redis");
    }
    if (object == nullptr) continue;
    const std::unique_ptr<RedisReply> reply(static_cast<RedisReply*>(object));
    if (reply->kind != RedisReply::Kind::kRefusal) return std::move(*reply);
    return FailedPrecondition("the shared cache's server: ", reply->text);
  }
}

}  // namespace rlx::cache
