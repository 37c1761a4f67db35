// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/backends/redis/command.hpp>
#include <omnibus/event_store/query.hpp>
#include <omnibus/event_store/store.hpp>

// What is asked of the script, as it goes over the wire.

namespace omnibus::event_store::redis {

/// The letter of an operation, and what it needs, one argument behind the other.
class Question {
 public:
  explicit Question(char operation) noexcept : operation_{operation} {}

  Question& add(std::string_view argument) {
    omnibus::redis::append_argument(arguments_, argument);
    ++count_;
    return *this;
  }
  Question& add(std::string_view begin, std::string_view end) {
    omnibus::redis::append_argument(arguments_, begin, end);
    ++count_;
    return *this;
  }
  template <std::integral Number>
  Question& add(Number number) {
    return add(std::string_view{omnibus::redis::Digits{number}});
  }
  Question& add(const EventQuery& query) {
    add(query.any_of.size());
    for (const EventFilter& filter : query.any_of) {
      add(filter.types.size());
      for (const std::string& type : filter.types) add(std::string_view{type});
      add(filter.tags.size());
      for (const std::string& tag : filter.tags) add(std::string_view{tag});
    }
    return *this;
  }
  Question& add(const ReadRange& range) {
    if (range.from) {
      add(*range.from);
    } else {
      add(std::string_view{});
    }
    add(range.direction == Direction::backwards ? "1" : "0");
    return add(range.limit).add(range.max_bytes);
  }
  Question& add(ExpectedVersion expected) {
    switch (expected.kind) {
      case ExpectedVersion::Kind::any: add("any"); break;
      case ExpectedVersion::Kind::none: add("none"); break;
      case ExpectedVersion::Kind::exists: add("exists"); break;
      case ExpectedVersion::Kind::exact: add("exact"); break;
    }
    return add(expected.version);
  }

  char operation() const noexcept { return operation_; }
  /// All arguments, as they are sent.
  const std::string& arguments() const noexcept { return arguments_; }
  std::size_t count() const noexcept { return count_; }

 private:
  char operation_;
  std::string arguments_;
  std::size_t count_ = 0;
};

}  // namespace omnibus::event_store::redis
