// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/symptoms.hpp>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using kafka::Symptoms;

namespace {

constexpr auto denied = RD_KAFKA_RESP_ERR__AUTHENTICATION;
constexpr auto tls = RD_KAFKA_RESP_ERR__SSL;

}  // namespace

TEST_CASE("kafka: one broker that is away is nothing to tell; that all are is, with the first's words") {
  Symptoms symptoms;
  CHECK_FALSE(symptoms.add(transport, "127.0.0.1:1: refused"));
  CHECK_FALSE(symptoms.add(transport, "127.0.0.1:2: refused"));
  const auto problem = symptoms.add(all_down, "2/2 brokers are down");
  REQUIRE(problem);
  CHECK(problem->code == Errc::unavailable);
  CHECK(problem->retryable);
  CHECK(problem->context.find("2/2 brokers are down") != std::string::npos);
  CHECK(problem->context.find("127.0.0.1:1: refused") != std::string::npos);
  CHECK(problem->context.find("127.0.0.1:2") == std::string::npos);
}

TEST_CASE("kafka: a handshake that fails once may pass, twice it is a refusal") {
  for (const auto code : {denied, tls}) {
    Symptoms symptoms;
    const auto first = symptoms.add(code, "no");
    REQUIRE(first);
    CHECK(first->code == Errc::access_denied);
    CHECK(first->retryable);
    CHECK_FALSE(symptoms.add(all_down, "1/1 brokers are down"));  // says less
    const auto second = symptoms.add(code, "no");
    REQUIRE(second);
    CHECK_FALSE(second->retryable);
  }
}

TEST_CASE("kafka: a refusal stands for those whose time is over, unless a broker that went away explains it") {
  for (const auto code : {denied, tls}) {
    Symptoms symptoms;
    CHECK_FALSE(symptoms.refusal());
    (void)symptoms.add(transport, "127.0.0.1:1: refused");
    (void)symptoms.add(code, "no");
    (void)symptoms.add(all_down, "1/1 brokers are down");
    REQUIRE(symptoms.refusal());
    CHECK(symptoms.refusal()->code == Errc::access_denied);
    CHECK_FALSE(symptoms.refusal()->retryable);
    (void)symptoms.add(transport, "127.0.0.1:1: refused");
    CHECK_FALSE(symptoms.refusal());
  }
}

TEST_CASE("kafka: what the broker itself refuses is refused at once") {
  Symptoms symptoms;
  const auto problem = symptoms.add(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "no");
  REQUIRE(problem);
  CHECK_FALSE(problem->retryable);
}
