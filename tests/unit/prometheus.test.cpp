// SPDX-License-Identifier: MIT
#include <omnibus/prometheus.hpp>

#include <string>
#include <string_view>

#include "catch.hpp"

using namespace omnibus;
using namespace std::chrono_literals;

namespace {

std::string page_of(const MetricsSnapshot& snapshot) {
  std::string page;
  append_metrics(page, snapshot);
  return page;
}

/// True when the page has this line, whole.
bool has(const std::string& page, std::string_view line) {
  return ("\n" + page).find("\n" + std::string{line} + "\n") != std::string::npos;
}

int count(const std::string& page, std::string_view part) {
  int found = 0;
  for (auto at = page.find(part); at != std::string::npos; at = page.find(part, at + 1)) ++found;
  return found;
}

const std::string orders =
    R"(messaging_system="kafka",messaging_operation_name="publish",messaging_destination_name="orders")";
const std::string billing =
    R"(messaging_system="kafka",messaging_operation_name="handle",messaging_destination_name="orders",)"
    R"(messaging_consumer_group_name="billing")";

GroupMetrics group_of(std::string topic, std::string group) {
  GroupMetrics metrics;
  metrics.topic = std::move(topic);
  metrics.group = std::move(group);
  return metrics;
}

}  // namespace

TEST_CASE("publishes are counted by their ending, and what was never sent apart") {
  const std::string page = page_of(
      {"kafka",
       {{"orders", 7, 2, {{Errc::rejected, 3}, {Errc::window_full, 4}, {Errc::too_large, 5}}}},
       {}});
  CHECK(has(page, "# TYPE messaging_client_sent_messages_total counter"));
  CHECK(has(page, "messaging_client_sent_messages_total{" + orders + "} 7"));
  CHECK(has(page, "messaging_client_sent_messages_total{" + orders + ",error_type=\"outcome_unknown\"} 2"));
  CHECK(has(page, "messaging_client_sent_messages_total{" + orders + ",error_type=\"rejected\"} 3"));
  CHECK(has(page, "omnibus_unsent_messages_total{" + orders + ",error_type=\"window_full\"} 4"));
  CHECK(has(page, "omnibus_unsent_messages_total{" + orders + ",error_type=\"too_large\"} 5"));
  CHECK(count(page, "\nmessaging_client_sent_messages_total{") == 3);
}

TEST_CASE("what became of deliveries is told by event, nothing as 0") {
  GroupMetrics metrics = group_of("orders", "billing");
  metrics.consumed = 4;
  metrics.delivered = 6;
  metrics.handled = 1;
  metrics.retried = 2;
  metrics.dead_lettered = 3;
  const std::string page = page_of({"kafka", {}, {metrics}});
  CHECK(has(page, "messaging_client_consumed_messages_total{messaging_system=\"kafka\","
                  "messaging_operation_name=\"consume\",messaging_destination_name=\"orders\","
                  "messaging_consumer_group_name=\"billing\"} 4"));
  const auto event = [&](std::string_view name, std::string_view value) {
    return has(page, "omnibus_delivery_events_total{" + billing + ",omnibus_event=\"" +
                         std::string{name} + "\"} " + std::string{value});
  };
  CHECK(event("delivered", "6"));
  CHECK(event("handled", "1"));
  CHECK(event("retried", "2"));
  CHECK(event("dead_lettered", "3"));
  CHECK(event("dropped", "0"));
  CHECK(event("duplicate", "0"));
  CHECK(event("given_back", "0"));
  CHECK(event("out_of_sequence", "0"));
}

TEST_CASE("buckets of durations are cumulative and in seconds") {
  GroupMetrics metrics = group_of("orders", "billing");
  metrics.handled_in.counts[0] = 5;
  metrics.handled_in.counts[1] = 2;
  metrics.handled_in.counts[14] = 1;
  metrics.handled_in.sum = 12'500ms;
  DurationHistogram slow;
  slow.counts[10] = 1;
  slow.sum = 2s;
  metrics.failed_in = {{Errc::handler_failed, slow}};
  const std::string page = page_of({"kafka", {}, {metrics}});
  const std::string name = "messaging_process_duration_seconds";
  CHECK(has(page, "# TYPE " + name + " histogram"));
  for (const std::string_view line :
       {"le=\"0.005\"} 5", "le=\"0.01\"} 7", "le=\"0.025\"} 7", "le=\"0.05\"} 7", "le=\"0.075\"} 7",
        "le=\"0.1\"} 7", "le=\"0.25\"} 7", "le=\"0.5\"} 7", "le=\"0.75\"} 7", "le=\"1\"} 7",
        "le=\"2.5\"} 7", "le=\"5\"} 7", "le=\"7.5\"} 7", "le=\"10\"} 7", "le=\"+Inf\"} 8"}) {
    CHECK(has(page, name + "_bucket{" + billing + "," + std::string{line}));
  }
  CHECK(has(page, name + "_sum{" + billing + "} 12.5"));
  CHECK(has(page, name + "_count{" + billing + "} 8"));
  CHECK(has(page, name + "_sum{" + billing + ",error_type=\"handler_failed\"} 2"));
  CHECK(has(page, name + "_bucket{" + billing + ",error_type=\"handler_failed\",le=\"1\"} 0"));
  CHECK(has(page, name + "_bucket{" + billing + ",error_type=\"handler_failed\",le=\"2.5\"} 1"));
}

TEST_CASE("a family is announced once, however many topics and groups it has") {
  const std::string page = page_of(
      {"kafka", {{"a", 1, 0, {}}, {"b", 1, 0, {}}}, {group_of("a", "g"), group_of("b", "g")}});
  CHECK(count(page, "# TYPE ") == 5);
  CHECK(count(page, "# HELP ") == 5);
  for (const std::string_view type : {"messaging_client_sent_messages_total counter",
                                      "messaging_process_duration_seconds histogram"}) {
    CHECK(count(page, "# TYPE " + std::string{type}) == 1);
  }
  CHECK(page.back() == '\n');
}

TEST_CASE("values of labels are escaped") {
  const std::string page = page_of({"a\\b\"c\nd{}", {{"orders", 1, 0, {}}}, {}});
  CHECK(has(page, R"(messaging_client_sent_messages_total{messaging_system="a\\b\"c\nd{}",)"
                  R"(messaging_operation_name="publish",messaging_destination_name="orders"} 1)"));
}

TEST_CASE("a reader without a group has no group, and what had no room is marked so") {
  const std::string page = page_of({"kafka", {{"", 9, 0, {}}}, {group_of("orders", "")}});
  CHECK(has(page, "messaging_client_sent_messages_total{messaging_system=\"kafka\","
                  "messaging_operation_name=\"publish\",otel_metric_overflow=\"true\"} 9"));
  CHECK(has(page, "messaging_client_consumed_messages_total{messaging_system=\"kafka\","
                  "messaging_operation_name=\"consume\",messaging_destination_name=\"orders\"} 0"));
}
