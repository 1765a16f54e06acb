// SPDX-License-Identifier: Apache-2.0
// The shared tier against a real redis-server: what it keeps, what it refuses, and that a server
// which is gone, slow or mad costs a miss.
#include "runtime/cache/redis_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "runtime/base/clock.h"
#include "runtime/cache/shared_entry.h"
#include "tests/support/redis_process.h"
#include "tests/support/unix_relay.h"

namespace rlx::cache {
namespace {

using test::RedisProcess;
using test::UnixRelay;
using testing::HasSubstr;

const std::string kSecret(32, 's');

Digest256 Key(int i) { return FieldHasher().AddInt(static_cast<uint64_t>(i)).Finish(); }
SharedBytes Value(std::string text) { return SharedBytes(std::move(text)); }

// More than three chunks, no two alike.
std::string Large() {
  std::string large;
  for (uint64_t i = 0; large.size() < 3 * kSharedChunkBytes + 1000; ++i) {
    large += FieldHasher().AddInt(i).Finish().view();
  }
  return large;
}

// Timeouts that a busy machine keeps; tests of short ones say so.
RedisOptions Options(const std::string& url) {
  RedisOptions options;
  options.server = *ParseRedisUrl(url);
  options.secret = kSecret;
  options.space = "test";
  options.timeout_seconds = 5;
  return options;
}

template <class Condition>
bool Eventually(Condition condition) {
  const double until = MonotonicSeconds() + 60;
  while (!condition()) {
    if (MonotonicSeconds() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

class RedisStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RedisProcess::Installed())
      GTEST_SKIP() << "redis-server is not installed: scripts/setup.sh";
    redis_ = std::make_unique<RedisProcess>();
  }

  // What redis-cli would do.
  RedisReply Ask(const std::vector<std::string_view>& words) const {
    const auto endpoint = RedisEndpoint::Look(*ParseRedisUrl(redis_->url()));
    RedisTime deadline = SecondsFromNow(30);
    auto connection = RedisConnection::Open(**endpoint, deadline);
    EXPECT_TRUE(connection.ok()) << Message(connection.status());
    auto reply = (*connection)->Call(words, deadline);
    EXPECT_TRUE(reply.ok()) << Message(reply.status());
    return *reply;
  }
  std::string HeadName(int i) const { return Cat("rlx1:test:h:", Key(i)); }

  std::unique_ptr<RedisStore> Make(RedisOptions options) const {
    auto store = std::make_unique<RedisStore>(std::move(options));
    EXPECT_TRUE(Eventually([&] { return store->turn_stats().up; })) << store->Stats().trouble;
    return store;
  }
  std::unique_ptr<RedisStore> Make() const { return Make(Options(redis_->url())); }

  std::unique_ptr<RedisProcess> redis_;
};

TEST_F(RedisStoreTest, GivesAllReplicasWhatOneHasPut) {
  const auto one = Make(), other = Make();
  EXPECT_FALSE(one->Get(Key(1)).has_value());
  one->Put(Key(1), Value(std::string("a\0b", 3)));
  one->Put(Key(2), Value(""));
  one->Flush();
  EXPECT_EQ(other->Get(Key(1))->value.view(), std::string_view("a\0b", 3));
  EXPECT_EQ(other->Get(Key(2))->value.view(), "");
  EXPECT_EQ(other->Get(Key(2))->tier, "remote");
  other->Remove(Key(1));
  EXPECT_FALSE(one->Get(Key(1)).has_value());
  EXPECT_EQ(one->Stats().puts, 2u);
  EXPECT_EQ(other->Stats().hits, 3u);
  EXPECT_EQ(one->Stats().misses, 2u);
  EXPECT_EQ(one->Stats().errors + other->Stats().errors + other->Stats().corrupt, 0u);
}

TEST_F(RedisStoreTest, LargeValuesTravelInChunksAndOneMissingIsAMiss) {
  const auto store = Make();
  const std::string large = Large();
  store->Put(Key(1), Value(large));
  store->Flush();
  EXPECT_EQ(Ask({"DBSIZE"}).number, 5) << "a head and four chunks";
  EXPECT_TRUE(store->Get(Key(1))->value.view() == large);
  const RedisReply chunks = Ask({"KEYS", "rlx1:test:c:*:2"});
  ASSERT_EQ(chunks.items.size(), 1u);
  Ask({"DEL", chunks.items[0].text});
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  EXPECT_EQ(store->Stats().corrupt, 0u) << "evicted, not changed";
  store->Put(Key(1), Value(large));
  store->Flush();
  EXPECT_TRUE(store->Get(Key(1))->value.view() == large);
}

TEST_F(RedisStoreTest, RefusesDeletesAndCountsWhatTheFleetDidNotWrite) {
  const auto store = Make();
  store->Put(Key(1), Value("one"));
  store->Flush();
  const std::string entry = Ask({"GET", HeadName(1)}).text;
  std::vector<std::string> bad = {"", "garbage", entry.substr(0, 80), entry + "x",
                                  entry + std::string(20 << 20, 'x')};
  for (size_t at = 0; at < entry.size(); ++at) {  // any one bit
    bad.push_back(entry);
    bad.back()[at] = static_cast<char>(bad.back()[at] ^ 1);
  }
  uint64_t corrupt = 0;
  for (const std::string& bytes : bad) {
    Ask({"SET", HeadName(1), bytes});
    EXPECT_FALSE(store->Get(Key(1)).has_value()) << bytes.size();
    // Nothing, a length beyond the limit and chunks that are not there are a miss alone.
    const auto head = ParseSharedHead(bytes, Key(1));
    const bool elsewhere =
        bytes.empty() || (head && (head->chunks > 0 || head->length > (256u << 20)));
    if (!elsewhere) ++corrupt;
    EXPECT_EQ(store->Stats().corrupt, corrupt) << bytes.size();
    EXPECT_EQ(Ask({"EXISTS", HeadName(1)}).number, elsewhere ? 1 : 0);
  }
  // One key's entry under another.
  Ask({"SET", HeadName(2), entry});
  EXPECT_FALSE(store->Get(Key(2)).has_value());
  EXPECT_EQ(store->Stats().corrupt, ++corrupt);
  // A list where a text should be: the server refuses, and goes on.
  Ask({"LPUSH", HeadName(3), "x"});
  EXPECT_FALSE(store->Get(Key(3)).has_value());
  EXPECT_TRUE(store->turn_stats().up);
}

TEST_F(RedisStoreTest, AnotherSecretMeansAnotherFleet) {
  RedisOptions options = Options(redis_->url());
  options.secret = std::string(32, 't');
  const auto stranger = Make(options), store = Make();
  stranger->Put(Key(1), Value("stranger's"));
  stranger->Put(Key(2), Value(Large()));
  stranger->Flush();
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  EXPECT_FALSE(store->Get(Key(2)).has_value());
  EXPECT_EQ(store->Stats().corrupt, 2u);
  EXPECT_FALSE(stranger->Get(Key(1)).has_value()) << "it was deleted";
}

TEST_F(RedisStoreTest, KeepsForATimeAndProlongsWhatIsUsed) {
  RedisOptions options = Options(redis_->url());
  options.keep_seconds = 1000;
  const auto store = Make(options);
  store->Put(Key(1), Value(Large()));
  store->Flush();
  const auto names = Ask({"KEYS", "*"});
  ASSERT_EQ(names.items.size(), 5u);
  for (const RedisReply& name : names.items) {
    const int64_t left = Ask({"PTTL", name.text}).number;
    EXPECT_TRUE(left > 900'000 && left <= 1'000'000) << name.text << ": " << left;
    Ask({"PEXPIRE", name.text, "500000"});
  }
  EXPECT_TRUE(store->Get(Key(1)).has_value());
  store->Flush();
  for (const RedisReply& name : names.items) {
    EXPECT_GT(Ask({"PTTL", name.text}).number, 900'000) << name.text;
  }
}

TEST_F(RedisStoreTest, DoesNotShareWhatIsTooLarge) {
  RedisOptions options = Options(redis_->url());
  options.max_entry_bytes = 1000;
  const auto store = Make(options), wide = Make();
  store->Put(Key(1), Value(std::string(1001, 'x')));
  store->Put(Key(2), Value(std::string(1000, 'x')));
  store->Flush();
  EXPECT_EQ(Ask({"DBSIZE"}).number, 1);
  wide->Put(Key(1), Value(std::string(1001, 'x')));
  wide->Flush();
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  EXPECT_TRUE(wide->Get(Key(1)).has_value()) << "what another's limit lets in stays";
}

TEST_F(RedisStoreTest, ClearsItsOwnSpaceAlone) {
  RedisOptions options = Options(redis_->url());
  options.space = "other";
  const auto store = Make(), other = Make(options);
  for (int i = 0; i < 20; ++i) store->Put(Key(i), Value("value"));
  store->Put(Key(20), Value(Large()));
  other->Put(Key(1), Value("other's"));
  store->Flush();
  other->Flush();
  EXPECT_EQ(other->Get(Key(1))->value.view(), "other's");
  EXPECT_EQ(store->Get(Key(1))->value.view(), "value");
  const Cleared cleared = store->Clear();
  EXPECT_EQ(cleared.entries, 21u);
  EXPECT_GT(cleared.bytes, 3 * kSharedChunkBytes);
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  EXPECT_TRUE(other->Get(Key(1)).has_value());
  EXPECT_EQ(Ask({"DBSIZE"}).number, 1);
}

// --- A server that is not there, or not well
// -------------------------------------------------------

TEST_F(RedisStoreTest, ComesUpWhenTheServerDoesAndSurvivesItsRestart) {
  redis_->Kill();
  RedisStore store(Options(redis_->url()));
  EXPECT_FALSE(store.turn_stats().up);
  EXPECT_THAT(store.Stats().trouble, HasSubstr("connect"));
  store.Put(Key(1), Value("lost"));
  store.Flush();
  EXPECT_FALSE(store.Get(Key(1)).has_value());
  EXPECT_EQ(store.Take(Key(1)), Turns::Word::kAlone);
  redis_->Start();
  EXPECT_TRUE(Eventually([&] { return store.turn_stats().up; }));
  EXPECT_EQ(store.Stats().trouble, "");
  store.Put(Key(1), Value("kept"));
  store.Flush();
  EXPECT_EQ(store.Get(Key(1))->value.view(), "kept");
  redis_->Start();  // emptied, and every connection closed
  EXPECT_TRUE(Eventually([&] { return store.turn_stats().up; }));
  EXPECT_FALSE(store.Get(Key(1)).has_value());
  EXPECT_TRUE(Eventually([&] {  // what is put while it is away is lost
    store.Put(Key(1), Value("again"));
    store.Flush();
    return store.Get(Key(1)).has_value();
  }));
}

TEST_F(RedisStoreTest, FlushedInTheMiddleItIsJustEmpty) {
  const auto store = Make();
  store->Put(Key(1), Value("one"));
  ASSERT_EQ(store->Take(Key(2)), Turns::Word::kMine);
  store->Flush();
  Ask({"FLUSHALL"});
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  store->Put(Key(2), Value("two"));
  store->GiveBack(Key(2));
  store->Flush();
  EXPECT_EQ(store->Get(Key(2))->value.view(), "two");
  EXPECT_EQ(store->turn_stats().lost, 0u);
}

TEST_F(RedisStoreTest, NobodyWaitsForAServerThatHangs) {
  RedisOptions options = Options(redis_->url());
  options.timeout_seconds = 0.05;
  const auto store = Make(options);
  store->Put(Key(1), Value("one"));
  store->Flush();
  redis_->Sleep();
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  EXPECT_FALSE(store->turn_stats().up);
  EXPECT_NE(store->Stats().trouble, "");
  const uint64_t errors = store->Stats().errors;
  EXPECT_GE(errors, 1u);
  const double began = MonotonicSeconds();
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(store->Get(Key(1)).has_value());
    EXPECT_EQ(store->Take(Key(1)), Turns::Word::kAlone);
  }
  EXPECT_LT(MonotonicSeconds() - began, 1000 * options.timeout_seconds) << "each would have waited";
  EXPECT_EQ(store->Stats().errors, errors) << "one who notices is enough";
  redis_->Wake();
  EXPECT_TRUE(Eventually([&] { return store->turn_stats().up; }));
  EXPECT_TRUE(Eventually([&] { return store->Get(Key(1)).has_value(); }));
}

TEST_F(RedisStoreTest, AServerThatIsAlwaysLateCountsAsGone) {
  UnixRelay relay(redis_->socket());
  RedisOptions options = Options(relay.url());
  options.timeout_seconds = 0.05;
  const auto store = Make(options);
  relay.Delay(0.2);
  EXPECT_TRUE(Eventually([&] { return !store->turn_stats().up; })) << "it looks now and then";
  EXPECT_FALSE(store->Get(Key(1)).has_value());
  EXPECT_TRUE(Eventually([&] {
    return store->Stats().trouble.find("to answer") != std::string::npos;
  })) << store->Stats().trouble;
  relay.Delay(0);
  EXPECT_TRUE(Eventually([&] { return store->turn_stats().up; }));
}

TEST_F(RedisStoreTest, SaysWhoItIs) {
  redis_ = std::make_unique<RedisProcess>(std::vector<std::string>{
      "--requirepass", "letmein", "--user",    "rlxd",     "on",      ">word",   "~rlx1:*",
      "+get",          "+set",    "+getrange", "+pexpire", "+unlink", "+exists", "+eval",
      "+scan",         "+strlen", "+ping",     "+select",  "+incr",   "+del"});
  RedisOptions options = Options(redis_->url());
  RedisStore nobody(options);
  EXPECT_FALSE(nobody.turn_stats().up);
  EXPECT_THAT(nobody.Stats().trouble, HasSubstr("NOAUTH"));
  options.server.password = "wrong";
  EXPECT_THAT(RedisStore(options).Stats().trouble, HasSubstr("WRONGPASS"));
  options.server.password = "letmein";
  options.server.database = 3;
  const auto standard = Make(options);
  options.server.user = "rlxd";
  options.server.password = "word";
  const auto user = Make(options);
  standard->Put(Key(1), Value("one"));
  standard->Flush();
  EXPECT_EQ(user->Get(Key(1))->value.view(), "one");
  // The commands that docs/operations.md names are enough for all there is to do.
  ASSERT_EQ(user->Take(Key(2)), Turns::Word::kMine);
  user->Put(Key(2), Value(Large()));
  user->GiveBack(Key(2));
  user->Flush();
  EXPECT_TRUE(user->Get(Key(2))->value.view() == Large());
  user->Flush();  // it prolonged what was used
  user->Remove(Key(1));
  EXPECT_EQ(user->Clear().entries, 1u);
  EXPECT_EQ(user->Stats().errors, 0u) << user->Stats().trouble;
}

// --- Turns
// -----------------------------------------------------------------------------------------

TEST_F(RedisStoreTest, OneHasTheTurnAndTheOthersFindWhatItMade) {
  const auto one = Make(), other = Make();
  ASSERT_EQ(one->Take(Key(1)), Turns::Word::kMine);
  EXPECT_EQ(other->Take(Key(1)), Turns::Word::kTheirs);
  EXPECT_EQ(other->Take(Key(2)), Turns::Word::kMine) << "keys are apart";
  one->Put(Key(1), Value("made"));
  one->GiveBack(Key(1));
  one->Flush();
  EXPECT_EQ(other->Take(Key(1)), Turns::Word::kThere);
  EXPECT_EQ(other->Get(Key(1))->value.view(), "made");
  other->GiveBack(Key(2));  // it failed
  other->Flush();
  EXPECT_EQ(one->Take(Key(2)), Turns::Word::kMine);
  EXPECT_EQ(one->turn_stats().taken, 2u);
  EXPECT_EQ(other->turn_stats().found, 1u);
}

TEST_F(RedisStoreTest, ATurnLastsAsLongAsItsHolder) {
  RedisOptions options = Options(redis_->url());
  options.lease_seconds = 0.8;
  const auto one = Make(options), other = Make(options);
  ASSERT_EQ(one->Take(Key(1)), Turns::Word::kMine);
  const double until = MonotonicSeconds() + 2 * options.lease_seconds;
  while (MonotonicSeconds() < until) {
    ASSERT_EQ(other->Take(Key(1)), Turns::Word::kTheirs);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// One is cut off in the middle, another takes over; what the first then puts is refused.
TEST_F(RedisStoreTest, WhoLostItsTurnCannotPut) {
  UnixRelay relay(redis_->socket());
  RedisOptions options = Options(relay.url()), direct = Options(redis_->url());
  options.lease_seconds = direct.lease_seconds = 0.5;
  const auto one = Make(options), other = Make(direct);
  ASSERT_EQ(one->Take(Key(1)), Turns::Word::kMine);
  relay.Cut(true);
  EXPECT_TRUE(Eventually([&] { return other->Take(Key(1)) == Turns::Word::kMine; }));
  relay.Cut(false);
  EXPECT_TRUE(Eventually([&] { return one->turn_stats().up; }));
  one->Put(Key(1), Value("late"));
  one->GiveBack(Key(1));
  one->Flush();
  EXPECT_FALSE(other->Get(Key(1)).has_value());
  EXPECT_EQ(one->turn_stats().lost, 1u);
  EXPECT_EQ(one->Stats().puts, 0u);
  other->Put(Key(1), Value("in time"));
  other->GiveBack(Key(1));
  other->Flush();
  EXPECT_EQ(one->Get(Key(1))->value.view(), "in time");
}

TEST_F(RedisStoreTest, ManyAskAndOneMakes) {
  std::vector<std::unique_ptr<RedisStore>> replicas;
  for (int i = 0; i < 4; ++i) replicas.push_back(Make());
  std::atomic<int> made = 0, found = 0;
  std::vector<std::thread> threads;
  for (auto& replica : replicas) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        for (;;) {
          const Turns::Word word = replica->Take(Key(i));
          if (word == Turns::Word::kThere) {
            ++found;
            EXPECT_EQ(replica->Get(Key(i))->value.view(), Key(i).view());
            break;
          }
          if (word == Turns::Word::kTheirs) continue;
          EXPECT_EQ(word, Turns::Word::kMine);
          ++made;
          replica->Put(Key(i), Value(std::string(Key(i).view())));
          replica->GiveBack(Key(i));
          break;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 25);
  EXPECT_EQ(found, 75);
}

// --- Where it is
// -----------------------------------------------------------------------------------

TEST(RedisUrl, IsReadOrRefused) {
  const auto plain = ParseRedisUrl("redis://cache");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host, "cache");
  EXPECT_EQ(plain->port, "6379");
  EXPECT_FALSE(plain->tls);
  const auto full = ParseRedisUrl("rediss://me@[::1]:7000/5");
  ASSERT_TRUE(full.ok());
  EXPECT_TRUE(full->tls);
  EXPECT_EQ(full->user, "me");
  EXPECT_EQ(full->host, "::1");
  EXPECT_EQ(full->port, "7000");
  EXPECT_EQ(full->database, 5);
  EXPECT_EQ(ParseRedisUrl("unix:/run/redis.sock")->unix_path, "/run/redis.sock");
  for (const char* bad : {"", "cache:6379", "http://cache", "redis://", "redis://:1", "redis://a:0",
                          "redis://a:65536", "redis://a:x", "redis://a/x", "redis://a/-1",
                          "redis://u:p@a", "redis://[::1", "redis://[::1]7", "unix:"}) {
    EXPECT_FALSE(ParseRedisUrl(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace rlx::cache
