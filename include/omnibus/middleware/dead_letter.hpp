// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include <omnibus/dead_letters.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/pipeline.hpp>

// Park what still fails in a topic of your choice.

namespace omnibus {

/// Publishes what the stages to its left gave up on to `topic`, raw bytes and headers as they were,
/// with reason, origin and attempts in headers `omnibus-dead-*`. The original is settled after the
/// broker has confirmed the dead letter, never before; when `topic` refuses, the message stays.
/// A dead letter has the id of its message: a duplicate of the message may get one of its own, and
/// groups that share a dead-letter topic may each write one.
/// Errors: throws std::invalid_argument for a name no broker takes.
inline Chain<DeadLetterStage> dead_letter(std::string topic) {
  if (!is_topic_name(topic)) {
    throw std::invalid_argument{"omnibus: dead_letter: topic \"" + topic + "\" is no topic name"};
  }
  return {std::tuple{DeadLetterStage{std::move(topic)}}};
}

}  // namespace omnibus
