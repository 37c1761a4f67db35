// SPDX-License-Identifier: MIT
#include <omnibus/error.hpp>

#include <set>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("each code has its name and its verdict on trying again") {
  struct Row {
    Errc code;
    std::string_view name;
    bool retryable;
  };
  const Row rows[] = {
      {Errc::invalid_argument, "invalid_argument", false},
      {Errc::too_large, "too_large", false},
      {Errc::encode_failed, "encode_failed", false},
      {Errc::decode_failed, "decode_failed", false},
      {Errc::unknown_type, "unknown_type", false},
      {Errc::handler_failed, "handler_failed", true},
      {Errc::interrupted, "interrupted", true},
      {Errc::closed, "closed", false},
      {Errc::window_full, "window_full", true},
      {Errc::timed_out, "timed_out", true},
      {Errc::outcome_unknown, "outcome_unknown", true},
      {Errc::rejected, "rejected", false},
      {Errc::unroutable, "unroutable", false},
      {Errc::not_found, "not_found", false},
      {Errc::access_denied, "access_denied", false},
      {Errc::topology_mismatch, "topology_mismatch", false},
      {Errc::unavailable, "unavailable", true},
      {Errc::position_lost, "position_lost", false},
      {Errc::out_of_sequence, "out_of_sequence", false},
      {Errc::key_in_progress, "key_in_progress", true},
      {Errc::key_mismatch, "key_mismatch", false},
      {Errc::conflict, "conflict", false},
      {Errc::id_reused, "id_reused", false},
      {Errc::stream_deleted, "stream_deleted", false},
      {Errc::unsupported, "unsupported", false},
      {Errc::internal, "internal", false},
  };
  for (const Row& row : rows) {
    CHECK(to_string(row.code) == row.name);
    CHECK(retryable_by_default(row.code) == row.retryable);
    CHECK(Error::make(row.code, "do").retryable == row.retryable);
  }
  CHECK(std::size(rows) == static_cast<std::size_t>(Errc::internal) + 1);
  CHECK(to_string(static_cast<Errc>(200)) == "unknown");
}

TEST_CASE("an error is one line of operation, context and code") {
  CHECK(Error::make(Errc::outcome_unknown, "publish orders", "connection lost").message() ==
        "publish orders: connection lost (outcome_unknown, retryable)");
  CHECK(Error::make(Errc::closed, "publish").message() == "publish (closed)");
  CHECK(Error::make(Errc::closed, "", "gone").message() == "gone (closed)");
  CHECK(Error{}.message() == "(internal)");
}

TEST_CASE("permanent, retryable and later say what is to happen next") {
  CHECK_FALSE(permanent("p").retryable);
  CHECK_FALSE(permanent("p").again());
  CHECK(permanent("p").code == Errc::handler_failed);
  CHECK(retryable("r").retryable);
  CHECK_FALSE(retryable("r").again());
  CHECK(retryable("r").context == "r");
  CHECK(later(5s).retryable);
  CHECK(later(5s).again());
  CHECK(later(5s).retry_after == 5s);
  CHECK(later(0s).again());
  CHECK(later(0s, "why").context == "why");
  CHECK_FALSE(Error{}.again());
}
