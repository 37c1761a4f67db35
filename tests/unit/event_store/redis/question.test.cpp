// SPDX-License-Identifier: MIT
#include <omnibus/event_store/redis/question.hpp>

#include <string>
#include <string_view>

#include "catch.hpp"

using namespace omnibus;
using event_store::redis::Question;

namespace {

/// The arguments with blanks between.
std::string words(const Question& question) {
  std::string text, bytes = question.arguments();
  std::size_t count = 0;
  while (!bytes.empty()) {
    const std::size_t size = std::stoul(bytes.substr(1));
    const std::size_t begin = bytes.find("\r\n") + 2;
    text += (count++ > 0 ? " " : "") + (size == 0 ? "''" : bytes.substr(begin, size));
    bytes.erase(0, begin + size + 2);
  }
  CHECK(count == question.count());
  return text;
}

}  // namespace

TEST_CASE("redis events: what is asked stands in arguments that the script takes one by one") {
  CHECK(words(Question{'h'}).empty());
  CHECK(words(Question{'x'}.add("a").add(7).add("b", "c")) == "a 7 bc");
  CHECK(words(Question{'x'}.add(EventQuery{})) == "0");
  CHECK(words(Question{'x'}.add(EventQuery{{{{"t"}, {"x", "y"}}, {{}, {"z"}}}})) == "2 1 t 2 x y 0 1 z");
  CHECK(words(Question{'x'}.add(ReadRange{.limit = 3, .max_bytes = 9})) == "'' 0 3 9");
  CHECK(words(Question{'x'}.add(ReadRange{.from = 5, .direction = Direction::backwards, .limit = 3, .max_bytes = 9})) ==
        "5 1 3 9");
  CHECK(words(Question{'x'}.add(ExpectedVersion::exactly(UINT64_MAX))) == "exact 18446744073709551615");
  CHECK(words(Question{'x'}.add(ExpectedVersion::any())) == "any 0");
  CHECK(words(Question{'x'}.add(ExpectedVersion::none())) == "none 0");
  CHECK(words(Question{'x'}.add(ExpectedVersion::exists())) == "exists 0");
}
