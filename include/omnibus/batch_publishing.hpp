// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/detail/latch.hpp>
#include <omnibus/message_batch.hpp>

// A MessageBatch on its way to the backend, and what the endings of its messages are as one.

namespace omnibus::detail {

/// The endings of several messages as one: receipts when all are published; otherwise unknown when one is
/// unknown, and else the error that nobody should try again, or the first. A pure function.
inline Result<std::vector<Receipt>> one_ending(const std::vector<Result<Receipt>>& endings) {
  std::vector<Receipt> receipts;
  std::size_t unknown = 0;
  const Error* worst = nullptr;
  const auto rank = [](const Error& error) {
    return error.code == Errc::outcome_unknown ? 2 : error.retryable ? 0 : 1;
  };
  for (const Result<Receipt>& each : endings) {
    if (each) {
      receipts.push_back(*each);
      continue;
    }
    const Error& error = each.error();
    if (error.code == Errc::outcome_unknown) ++unknown;
    if (worst == nullptr || rank(error) > rank(*worst)) worst = &error;
  }
  if (worst == nullptr) return receipts;
  const std::size_t failed = endings.size() - receipts.size() - unknown;
  Error error = *worst;
  error.context = "of " + std::to_string(endings.size()) + " messages " + std::to_string(receipts.size()) +
                  " were published, " + std::to_string(failed) + " failed, " + std::to_string(unknown) +
                  " have an unknown outcome: " + error.context;
  return error;
}

/// Submits the messages in their order, and blocks until each has its ending, at most for how.timeout.
template <class To>
std::vector<Result<Receipt>> submit_all_and_wait(To& to, const MessageBatch& batch, Submit how) {
  how.awaited = true;
  const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
  std::vector<Result<Receipt>> endings(batch.size(), Receipt{});
  std::vector<Outgoing> outgoing;
  outgoing.reserve(batch.size());
  Latch ended{batch.size()};
  for (std::size_t i = 0; i < batch.size(); ++i) {
    outgoing.push_back({batch[i].message.view(), {}, [&ending = endings[i], &ended](Result<Receipt> result) {
                          ending = std::move(result);
                          ended.arrive();
                        }});
  }
  // What follows one another in one topic is one call.
  for (std::size_t begin = 0, end = 0; begin < batch.size(); begin = end) {
    while (end < batch.size() && batch[end].topic == batch[begin].topic) ++end;
    to.submit(batch[begin].topic, std::span{outgoing}.subspan(begin, end - begin), how);
    how.timeout = deadline - std::chrono::steady_clock::now();
  }
  ended.wait();
  return endings;
}

/// Submits the messages as one, and blocks until they have their ending.
template <class To>
Result<std::vector<Receipt>> submit_atomic_and_wait(To& to, const MessageBatch& batch, Submit how) {
  how.awaited = true;
  std::vector<Addressed> messages;
  messages.reserve(batch.size());
  for (const MessageBatch::Each& each : batch) messages.push_back({each.topic, each.message.view()});
  Result<std::vector<Receipt>> result = std::vector<Receipt>{};
  Latch ended{1};
  to.submit_atomic(messages, how, [&](Result<std::span<const Receipt>> ending) {
    if (ending) {
      result->assign(ending->begin(), ending->end());
    } else {
      result = std::move(ending.error());
    }
    ended.arrive();
  });
  ended.wait();
  return result;
}

}  // namespace omnibus::detail
