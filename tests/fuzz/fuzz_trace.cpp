// SPDX-License-Identifier: MIT
// Trace context, and numbers of messages.
#include <string>
#include <string_view>

#include <omnibus/sequence.hpp>
#include <omnibus/trace_context.hpp>

#include "fuzz.hpp"

namespace {

using namespace omnibus;
using fuzz::require;

void trace(std::string_view text, std::string_view state) {
  Headers headers{{traceparent_header, text}, {tracestate_header, state}};
  const auto parsed = parse_traceparent(text);
  const Headers child = child_trace(headers);
  require(trace_of(headers) == parsed, "headers say what their header says");
  if (!parsed) return require(child.empty(), "without a trace, none is begun");
  require((parsed->trace_high | parsed->trace_low) != 0 && parsed->span != 0, "ids are not zero");
  const std::string written = format_traceparent(*parsed);
  require(parse_traceparent(written) == parsed, "a trace is read as it was written");
  if (text.size() == 55 && text.starts_with("00") && (text.ends_with("00") || text.ends_with("01"))) {
    require(written == text, "what is known is written as it was read");
  }
  const auto of_child = trace_of(child);
  require(of_child && of_child->trace_high == parsed->trace_high && of_child->trace_low == parsed->trace_low &&
              of_child->sampled == parsed->sampled,
          "a child is of its parent's trace");
  require(child.get(tracestate_header) == state, "the state goes on");
  require(child_of(*parsed, 0).span != 0, "a span is never zero");
}

void numbers(Sequence last, Sequence got) {
  using enum SequenceFinding;
  const SequenceReport report = judge(last, got);
  require(!report.text().empty() && report.got == got, "a report says what has come");
  require((report.missing != 0) == (report.finding == gap), "what is missing is a gap");
  if (last.epoch == 0) return require(report.finding == in_order, "the first one is in order");
  require((report.finding == stale) == (got.epoch < last.epoch), "an older epoch is stale, and nothing else");
  if (got.epoch != last.epoch) return;
  require((report.finding == repeated) == (got.number <= last.number), "a number that is not higher came before");
  if (got.number > last.number) require(report.missing == got.number - last.number - 1, "missing is in between");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input{data, size};
  const Sequence a{input.number(), input.number()}, b{input.number(), input.number()};
  numbers(a, b);
  numbers(a, a);
  numbers(a, {a.epoch, b.number});
  const std::string_view text = input.text();
  trace(text, input.rest());
  return 0;
}
