// SPDX-License-Identifier: Apache-2.0
#include "tests/support/redis_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"

namespace rlx::test {
namespace {

constexpr char kProgram[] = "/usr/bin/redis-server";

}  // namespace

bool RedisProcess::Installed() { return access(kProgram, X_OK) == 0; }

RedisProcess::RedisProcess(std::vector<std::string> flags) : flags_(std::move(flags)) { Start(); }

RedisProcess::~RedisProcess() { Kill(); }

bool RedisProcess::Answers() const {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket().copy(address.sun_path, sizeof address.sun_path - 1);
  char answer = 0;
  const bool answers = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                       write(fd, "PING\r\n", 6) == 6 && read(fd, &answer, 1) == 1;
  close(fd);
  return answers;
}

void RedisProcess::Start() {
  Kill();
  std::vector<std::string> words = {kProgram,       "--port", "0",     "--unixsocket", socket(),
                                    "--save",       "",       "--dir", folder_.path(), "--logfile",
                                    folder_ / "log"};
  words.insert(words.end(), flags_.begin(), flags_.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_ = fork();
  CHECK(pid_ >= 0, "fork failed");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execv(kProgram, arguments.data());
    _exit(127);
  }
  const double until = MonotonicSeconds() + 60;
  while (!Answers()) {
    CHECK(MonotonicSeconds() < until, "redis-server does not answer");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void RedisProcess::Kill() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  unlink(socket().c_str());
  pid_ = 0;
}

void RedisProcess::Sleep() const { kill(pid_, SIGSTOP); }
void RedisProcess::Wake() const { kill(pid_, SIGCONT); }

}  // namespace rlx::test
