// SPDX-License-Identifier: MIT
#include <string>
#include <string_view>

#include "catch.hpp"
#include "history.hpp"

using namespace campaign;

namespace {

const Record full{.kind = Kind::deliver,
                  .at = 1,
                  .wall = -2,
                  .process = "consumer 1",
                  .incarnation = 3,
                  .outcome = Outcome::ok,
                  .id = "0193",
                  .topic = "orders",
                  .group = "billing",
                  .key = "k",
                  .number = 4,
                  .attempt = 5,
                  .partition = -6,
                  .major = 7,
                  .minor = 8,
                  .generation = 9,
                  .hash = 0xfedc'ba98'7654'3210,
                  .value = 18'446'744'073'709'551'615u,
                  .note = "n"};

/// The line of a record, without its newlines.
std::string line_of(const Record& record) {
  std::string line;
  write_line(line, record);
  REQUIRE(line.size() > 2);
  REQUIRE((line.front() == '\n' && line.back() == '\n'));
  return line.substr(1, line.size() - 2);
}

}  // namespace

TEST_CASE("A line gives back its record") {
  std::string decoded;
  CHECK(read_line(line_of(full), decoded) == full);
  CHECK(read_line(line_of(Record{}), decoded) == Record{});
}

TEST_CASE("A line has its fields in the order of the record, and none for what is not there") {
  const Record ending{
      .kind = Kind::ending, .at = 12, .process = "p", .incarnation = 1, .outcome = Outcome::unknown};
  CHECK(line_of(ending) ==
        "ending\t12\t\tp\t1\tunknown\t\t\t\t\t\t\t\t\t\t\t\t\t\t;");
}

TEST_CASE("Separators in words do not separate") {
  Record record = full;
  const std::string_view odd{"a\tb\nc%d\0;\x7f", 11};
  record.id = record.topic = record.note = odd;
  const std::string line = line_of(record);
  CHECK(line.find('\n') == std::string::npos);
  std::string decoded;
  CHECK(read_line(line, decoded) == record);
}

TEST_CASE("Every kind and outcome has a name of its own") {
  std::string decoded;
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    for (std::size_t outcome = 0; outcome < outcomes.size(); ++outcome) {
      const Record record{.kind = static_cast<Kind>(kind), .outcome = static_cast<Outcome>(outcome)};
      CHECK(read_line(line_of(record), decoded) == record);
    }
  }
}

TEST_CASE("No beginning of a line is a record") {
  const std::string line = line_of(full);
  std::string decoded;
  for (std::size_t size = 0; size < line.size(); ++size) {
    CAPTURE(size);
    CHECK(is_torn(line.substr(0, size)));
    CHECK_FALSE(read_line(line.substr(0, size), decoded));
  }
  CHECK_FALSE(is_torn(line));
}

TEST_CASE("What is no record is not read as one") {
  std::string decoded;
  const std::string line = line_of(full);
  const auto with = [&line](std::string_view what, std::string_view instead) {
    std::string changed = line;
    return changed.replace(changed.find(what), what.size(), instead);
  };
  CHECK_FALSE(read_line(with("deliver", "delivered"), decoded));
  CHECK_FALSE(read_line(with("ok", "okay"), decoded));
  CHECK_FALSE(read_line(with("\t1\t", "\t1x\t"), decoded));
  CHECK_FALSE(read_line(with("\t3\t", "\t-3\t"), decoded));
  CHECK_FALSE(read_line(with("\t3\t", "\t4294967296\t"), decoded));
  CHECK_FALSE(read_line(with("orders", "ord%ers"), decoded));
  CHECK_FALSE(read_line(with("orders", "orders%4"), decoded));
  CHECK_FALSE(read_line(with("orders", "orders\t"), decoded));
  CHECK_FALSE(read_line(with("orders\t", "orders"), decoded));
}

TEST_CASE("Rules of a group are read from words") {
  const auto rules = read_rules("order=parked idempotent marked attempts=5 max_age_ms=900");
  REQUIRE(rules);
  CHECK((rules->ordered && rules->parked && rules->idempotent && rules->marked));
  CHECK(rules->attempts == 5);
  CHECK(rules->max_age_ms == 900);
  CHECK(read_rules("order=strict")->ordered);
  CHECK_FALSE(read_rules("order=strict")->parked);
  CHECK_FALSE(read_rules("order=relaxed")->ordered);
  CHECK_FALSE(read_rules("")->idempotent);
  CHECK_FALSE(read_rules("order=loose"));
  CHECK_FALSE(read_rules("attempts=x"));
  CHECK_FALSE(read_rules("attempts=5x"));
}
