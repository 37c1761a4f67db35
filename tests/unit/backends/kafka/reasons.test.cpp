// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/reasons.hpp>

#include <string>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

TEST_CASE("kafka: that replicas are missing is a reason, that all are there is none") {
  CHECK(flaw_of("orders", TopicFacts{4, 3, 3}).empty());
  const std::string flaw = flaw_of("orders", TopicFacts{4, 1, 3});
  CHECK(flaw.find("\"orders\"") != std::string::npos);
  CHECK(flaw.find("1 of 3 replicas in sync") != std::string::npos);
  const std::string silent = flaw_of("orders", to_error(RD_KAFKA_RESP_ERR__TIMED_OUT, "look up"));
  CHECK(silent.find("\"orders\" has no leader, or one that waits for replicas") != std::string::npos);
}

TEST_CASE("kafka: what the broker says is wrong with a topic is the reason") {
  Listener listener;
  const Producer producer{shared_cluster().settings(), Duration{}, listener};
  const std::string good = new_topic(2), bad = new_topic(2);
  rd_kafka_mock_topic_set_error(shared_cluster().get(), bad.c_str(),
                                RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  const Instant now{1h};
  Reasons reasons;
  CHECK(reasons.of(producer, {good}, now) == "the broker confirms slowly");
  CHECK(reasons.of(producer, {good, bad}, now + 1s) == "the broker confirms slowly");  // not looked again
  const std::string reason = reasons.of(producer, {good, bad}, now + 5s);
  CHECK(reason.find(bad) != std::string::npos);
  CHECK(reason.find("TOPIC_AUTHORIZATION_FAILED") != std::string::npos);
}
