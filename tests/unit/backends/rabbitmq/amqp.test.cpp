// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/amqp.hpp>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

TEST_CASE("rabbitmq: what each reply code of the broker means") {
  struct Row {
    std::uint16_t code;
    std::string_view text;
    Errc errc;
    bool retryable;
    std::string_view advice;
  };
  const Row rows[] = {
      {311, "CONTENT_TOO_LARGE", Errc::too_large, false, ""},
      {320, "CONNECTION_FORCED - shutdown", Errc::unavailable, true, ""},
      {402, "INVALID_PATH", Errc::unavailable, true, ""},
      {403, "ACCESS_REFUSED - login refused", Errc::access_denied, false, "check user, password"},
      {404, "NOT_FOUND - no queue 'q'", Errc::not_found, false, ""},
      {405, "RESOURCE_LOCKED", Errc::unavailable, true, ""},
      {406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'", Errc::topology_mismatch, false,
       "configure this bus like the others"},
      {406, "PRECONDITION_FAILED - unknown delivery tag 7", Errc::topology_mismatch, false, ""},
      {501, "FRAME_ERROR", Errc::internal, false, ""},
      {502, "SYNTAX_ERROR", Errc::internal, false, ""},
      {503, "COMMAND_INVALID", Errc::internal, false, ""},
      {504, "CHANNEL_ERROR", Errc::internal, false, ""},
      {505, "UNEXPECTED_FRAME", Errc::internal, false, ""},
      {506, "RESOURCE_ERROR", Errc::unavailable, true, ""},
      {530, "NOT_ALLOWED - vhost v not found", Errc::not_found, false, "check the vhost"},
      {530, "NOT_ALLOWED - access to vhost refused", Errc::access_denied, false, "check the vhost"},
      {540, "NOT_IMPLEMENTED", Errc::unsupported, false, ""},
      {541, "INTERNAL_ERROR", Errc::unavailable, true, ""},
      {999, "", Errc::unavailable, true, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.code);
    const Error error = broker_error(row.code, row.text, "declare orders");
    CHECK(error.code == row.errc);
    CHECK(error.retryable == row.retryable);
    CHECK(error.operation == "declare orders");
    CHECK(error.context.starts_with(row.text));
    CHECK(error.context.find(row.advice) != std::string::npos);
    if (row.advice.empty()) CHECK(error.context == row.text);
  }
}

TEST_CASE("rabbitmq: what a broker says comes as one line, without what a terminal obeys") {
  CHECK(broker_error(404, "no queue 'a\r\nb\x1b[2J'", "consume").context == "no queue 'a??b?[2J'");
}

TEST_CASE("rabbitmq: what each status of the library means") {
  struct Row {
    int status;
    Errc errc;
    std::string_view advice;
  };
  const Row rows[] = {
      {AMQP_STATUS_NO_MEMORY, Errc::internal, ""},
      {AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED, Errc::unavailable, ""},
      {AMQP_STATUS_CONNECTION_CLOSED, Errc::unavailable, ""},
      {AMQP_STATUS_SOCKET_ERROR, Errc::unavailable, ""},
      {AMQP_STATUS_HEARTBEAT_TIMEOUT, Errc::unavailable, ""},
      {AMQP_STATUS_TIMEOUT, Errc::unavailable, ""},
      {AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD, Errc::unsupported, ""},
      {AMQP_STATUS_SSL_ERROR, Errc::unavailable, ".tls.certificate"},
      {AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED, Errc::access_denied, "not for this host"},
      {AMQP_STATUS_SSL_PEER_VERIFY_FAILED, Errc::access_denied, ".tls.ca"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.status);
    const Error error = library_error(row.status, "connect");
    CHECK(error.code == row.errc);
    CHECK(error.retryable == retryable_by_default(row.errc));
    CHECK(error.operation == "connect");
    CHECK(error.context.starts_with(amqp_error_string2(row.status)));
    CHECK(error.context.find(row.advice) != std::string::npos);
  }
}

TEST_CASE("rabbitmq: texts go to the library and come back, empty ones too") {
  CHECK(view_of(bytes_of("a\0b"sv)) == "a\0b"sv);
  CHECK(view_of(bytes_of({})).empty());
  CHECK(view_of({0, nullptr}).data() == nullptr);
}

TEST_CASE("rabbitmq: a method becomes one frame behind what is there") {
  std::string out = "before";
  amqp_basic_qos_t qos{};
  qos.prefetch_count = 0x0102;
  append_method(out, 9, AMQP_BASIC_QOS_METHOD, &qos);
  REQUIRE(out.starts_with("before"));
  const std::vector<Frame> frames = frames_of(std::string_view{out}.substr(6));
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].channel == 9);
  Pool pool;
  const auto& read = pool.method<amqp_basic_qos_t>(frames[0], AMQP_BASIC_QOS_METHOD);
  CHECK(read.prefetch_count == 0x0102);
  CHECK(read.global == 0);
  CHECK(frames[0].payload.size() == 4 + 7);
}
