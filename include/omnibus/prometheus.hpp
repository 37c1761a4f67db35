// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/metrics_snapshot.hpp>

// Metrics as a page that Prometheus reads.
//
// Names and attributes are those of OpenTelemetry's conventions for messaging clients (in development;
// open-telemetry/semantic-conventions, docs/messaging/messaging-metrics.md): messaging.client.sent.messages,
// messaging.client.consumed.messages, messaging.process.duration with messaging.system,
// messaging.operation.name, messaging.destination.name, messaging.consumer.group.name and error.type, which
// is set on failures alone. Its specification says how they become Prometheus's (opentelemetry-specification,
// specification/compatibility/prometheus_and_openmetrics.md): dots turn into underscores, the unit s into
// _seconds, {message} into nothing, and counters end with _total. What has no name there begins with
// omnibus_. The text is that of Prometheus's exposition format 0.0.4.

namespace omnibus {

namespace detail {

/// The labels of a sample, without braces.
class PrometheusLabels {
 public:
  PrometheusLabels& add(std::string_view name, std::string_view value) {
    if (!text_.empty()) text_ += ',';
    text_.append(name).append("=\"");
    for (const char c : value) {
      switch (c) {
        case '\\': text_ += "\\\\"; break;
        case '"': text_ += "\\\""; break;
        case '\n': text_ += "\\n"; break;
        default: text_ += c;
      }
    }
    text_ += '"';
    return *this;
  }
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// Writes families and their samples.
class PrometheusPage {
 public:
  PrometheusPage(std::string& out, std::string_view system) : out_{out}, system_{system} {}

  void family(std::string_view name, std::string_view type, std::string_view help) {
    out_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    out_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  }
  /// Labels that begin with the system, the operation and the topic, and end with the group's.
  PrometheusLabels labels(std::string_view operation, std::string_view topic) const {
    PrometheusLabels labels;
    labels.add("messaging_system", system_).add("messaging_operation_name", operation);
    // What OpenTelemetry's SDKs write when there were too many: a topic has a name.
    if (topic.empty()) return labels.add("otel_metric_overflow", "true");
    return labels.add("messaging_destination_name", topic);
  }
  PrometheusLabels labels(std::string_view operation, const GroupMetrics& metrics) const {
    PrometheusLabels labels = this->labels(operation, metrics.topic);
    if (!metrics.group.empty()) labels.add("messaging_consumer_group_name", metrics.group);
    return labels;
  }
  void sample(std::string_view name, std::string_view suffix, const PrometheusLabels& labels,
              std::uint64_t value) {
    begin(name, suffix, labels);
    out_.append(text(value)).append("\n");
  }
  void histogram(std::string_view name, const PrometheusLabels& labels,
                 const DurationHistogram& histogram) {
    std::uint64_t up_to = 0;
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
      up_to += histogram.counts[i];
      std::string bound = "+Inf";
      if (i < DurationHistogram::bounds.size()) bound = text(seconds(DurationHistogram::bounds[i]));
      sample(name, "_bucket", PrometheusLabels{labels}.add("le", bound), up_to);
    }
    begin(name, "_sum", labels);
    out_.append(text(seconds(histogram.sum))).append("\n");
    sample(name, "_count", labels, up_to);
  }

 private:
  static double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
  /// The shortest number that reads as the same value.
  template <class Number>
  static std::string text(Number number) {
    char buffer[32];
    const auto written = std::to_chars(buffer, buffer + sizeof buffer, number);
    return {buffer, written.ptr};
  }
  void begin(std::string_view name, std::string_view suffix, const PrometheusLabels& labels) {
    out_.append(name).append(suffix).append("{").append(labels.text()).append("} ");
  }

  std::string& out_;
  std::string_view system_;
};

/// True when nothing was sent: messaging.client.sent.messages must not count it.
constexpr bool is_before_sending(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::too_large:
    case Errc::encode_failed:
    case Errc::closed:
    case Errc::window_full:
    case Errc::unsupported: return true;
    default: return false;
  }
}

}  // namespace detail

/// Appends what was counted in Prometheus's text format, to be served as
/// `text/plain; version=0.0.4`. One snapshot makes a page: Prometheus takes no family twice, and buses of one
/// system may share their Metrics.
inline void append_metrics(std::string& out, const MetricsSnapshot& snapshot) {
  detail::PrometheusPage page{out, snapshot.system};

  constexpr std::string_view sent = "messaging_client_sent_messages_total";
  page.family(sent, "counter", "Messages that were sent to the broker.");
  for (const TopicMetrics& topic : snapshot.topics) {
    page.sample(sent, "", page.labels("publish", topic.topic), topic.published);
    const auto failed = [&](Errc code, std::uint64_t count) {
      page.sample(sent, "", page.labels("publish", topic.topic).add("error_type", to_string(code)), count);
    };
    if (topic.unknown > 0) failed(Errc::outcome_unknown, topic.unknown);
    for (const auto& failure : topic.failed) {
      if (!detail::is_before_sending(failure.code)) failed(failure.code, failure.count);
    }
  }

  constexpr std::string_view unsent = "omnibus_unsent_messages_total";
  page.family(unsent, "counter", "Messages that were to be published and were not sent.");
  for (const TopicMetrics& topic : snapshot.topics) {
    for (const auto& failure : topic.failed) {
      if (!detail::is_before_sending(failure.code)) continue;
      page.sample(unsent, "",
                  page.labels("publish", topic.topic).add("error_type", to_string(failure.code)),
                  failure.count);
    }
  }

  constexpr std::string_view consumed = "messaging_client_consumed_messages_total";
  page.family(consumed, "counter", "Messages that were delivered to a pipeline, each once.");
  for (const GroupMetrics& group : snapshot.groups) {
    page.sample(consumed, "", page.labels("consume", group), group.consumed);
  }

  constexpr std::string_view events = "omnibus_delivery_events_total";
  page.family(events, "counter", "What became of deliveries, by event.");
  for (const GroupMetrics& group : snapshot.groups) {
    const auto event = [&](std::string_view name, std::uint64_t count) {
      page.sample(events, "", page.labels("handle", group).add("omnibus_event", name), count);
    };
    event("delivered", group.delivered);
    event("handled", group.handled);
    event("retried", group.retried);
    event("dead_lettered", group.dead_lettered);
    event("dropped", group.dropped);
    event("duplicate", group.duplicates);
    event("given_back", group.given_back);
    event("out_of_sequence", group.out_of_sequence);
  }

  constexpr std::string_view took = "messaging_process_duration_seconds";
  page.family(took, "histogram", "How long attempts took, stages included.");
  for (const GroupMetrics& group : snapshot.groups) {
    page.histogram(took, page.labels("handle", group), group.handled_in);
    for (const auto& failure : group.failed_in) {
      page.histogram(took, page.labels("handle", group).add("error_type", to_string(failure.code)),
                     failure.took);
    }
  }
}

}  // namespace omnibus
