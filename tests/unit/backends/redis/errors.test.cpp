// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/errors.hpp>

#include <string>

#include "catch.hpp"

using namespace omnibus;
using namespace omnibus::redis;

TEST_CASE("redis: what refusals mean") {
  struct Case {
    const char* reply;
    Errc code;
    bool retryable;
  };
  for (const Case& each : {
           Case{"LOADING Redis is loading the dataset in memory", Errc::unavailable, true},
           Case{"BUSY Redis is busy running a script", Errc::unavailable, true},
           Case{"MASTERDOWN Link with MASTER is down", Errc::unavailable, true},
           Case{"UNBLOCKED the stream key no longer exists", Errc::unavailable, true},
           Case{"OOM command not allowed when used memory > 'maxmemory'.", Errc::rejected, true},
           Case{"MISCONF Errors writing to the AOF file", Errc::rejected, true},
           Case{"READONLY You can't write against a read only replica.", Errc::rejected, true},
           Case{"NOREPLICAS Not enough good replicas to write.", Errc::rejected, true},
           Case{"WRONGTYPE Operation against a key", Errc::topology_mismatch, false},
           Case{"NOGROUP No such key", Errc::not_found, true},
           Case{"NOPERM this user has no permissions", Errc::access_denied, false},
           Case{"NOAUTH Authentication required.", Errc::access_denied, false},
           Case{"WRONGPASS invalid username-password pair", Errc::access_denied, false},
           Case{"ERR invalid password", Errc::access_denied, false},
           Case{"ERR unknown command 'XADD'", Errc::unsupported, false},
           Case{"MOVED 3999 127.0.0.1:6381", Errc::unsupported, false},
           Case{"ERR something else", Errc::rejected, false},
           Case{"", Errc::rejected, false},
       }) {
    INFO(each.reply);
    const Error error = server_error(each.reply, "publish");
    CHECK(to_string(error.code) == to_string(each.code));
    CHECK(error.retryable == each.retryable);
    CHECK(error.operation == "publish");
  }
}

TEST_CASE("redis: texts of errors are bounded and printable") {
  CHECK(server_error("ERR a\r\nb\x1b[31m", "publish").context == "ERR a??b?[31m");
  CHECK(server_error(std::string(5000, 'x'), "publish").context.size() == 255);
}
