// SPDX-License-Identifier: MIT
#include <omnibus/detail/hash.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus::detail;
using namespace omnibus::unit;

namespace {

/// Bytes that count up in steps of seven.
std::string bytes_of(std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 7 + 1));
  return bytes;
}

}  // namespace

// These values must never change: messages that brokers hold lie in shards chosen by them, and
// stores remember payloads by them. A change of the functions is a change of the data's format.
TEST_CASE("the hashes of known bytes are what they have always been") {
  struct Row {
    std::size_t size;
    std::uint64_t hash;
    Hash128 wide;
  };
  const Row rows[] = {
      {0, 0xdcf1ac957f796f30, {0x30c3a3ddff3b93ac, 0xb32eebf3ede640dd}},
      {1, 0xbb8e80c2e7ea30a8, {0x00c97a70258bb57c, 0x37b8c2326dcd7230}},
      {2, 0xf96d7fda2feb9943, {0x036251d219565ef2, 0x314d73a3cc0bea76}},
      {3, 0xc9c3ec83d110284f, {0x5b529eed50a98f32, 0x858dcff992102f05}},
      {4, 0x387c44fc86515bc5, {0x85013ded6c4abb50, 0xe028ba745bb0fc8b}},
      {5, 0x5b658c8b9ab4bcb7, {0x5edd78ebc25e3f31, 0x29f0580c8baa92a1}},
      {6, 0xb555aa9a15d90417, {0x6cab48ec05031fc2, 0x4e07b27ee6e154ac}},
      {7, 0x63aa4b0f4e6fe5b3, {0x25065290f1b98e27, 0x140580cae502a003}},
      {8, 0xd14d7f0a0e36ae07, {0xffb3e1448d7bb2d8, 0x628f1d634d9a5b62}},
      {9, 0x6f804b1e60795c40, {0x25eb8a3af5c50e19, 0xa12f29e09dee25bd}},
      {12, 0xdf3fb20006198233, {0xd056e8b537f11930, 0xf0d6b1e411c09704}},
      {15, 0x6868b2555fcadf2a, {0x97a3ad86d1181237, 0x1f2a961582742159}},
      {16, 0x84aef017c32e718d, {0xc7f11daca650fa95, 0xc9917c913accc388}},
      {17, 0x785f67ccddc4bf2f, {0x023bb5f599e63660, 0x7f1f81abb1042d57}},
      {32, 0xdee7a55027448ae8, {0x625eede42fee5243, 0x3065839009d62a6d}},
      {33, 0xe3913f0baf425dfd, {0x347e9a6003822aa0, 0x58df0e55244a876b}},
      {63, 0x3d3691404602ac60, {0x5331ec7782c94bd0, 0xf2fa5c6acdf30a2a}},
      {64, 0xa1d3483906fef9fa, {0x0c69efa2b592537e, 0x19d261ca8283b82a}},
      {65, 0xf22211e934b3c8c7, {0x1a567ae8e8c9f35d, 0x6942f8043fe044f0}},
      {127, 0x09cf215d2ab0f843, {0x07a399c92e6f0d64, 0x78ff9ea7171247a7}},
      {128, 0xb7b83087a3f00edb, {0x1f73feaaffc005de, 0xc1a46331576d6392}},
      {129, 0x2c75e122ef92bad7, {0x25049aa36a626f85, 0xe31caa068276ebbb}},
      {200, 0x3fb93978b5e82fd5, {0x21e0fbeaaaa945a3, 0xa13c0e0630a81e02}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.size);
    CHECK(hash64(bytes_of(row.size)) == row.hash);
    CHECK(hash128(bytes_of(row.size)).low == row.wide.low);
    CHECK(hash128(bytes_of(row.size)).high == row.wide.high);
  }
  CHECK(hash64("\xff\x80\xfe") == 0xd0d81872707506b7);
  CHECK(hash64("order-17") == 0x9fb070cabb22dbaa);
  CHECK(hash64("order-17", 1) == 0xf89c60728d363d0d);
}

TEST_CASE("bytes of every length up to 200 have hashes of their own, zeros too") {
  std::set<std::uint64_t> narrow;
  std::set<std::pair<std::uint64_t, std::uint64_t>> wide;
  for (std::size_t size = 0; size <= 200; ++size) {
    for (const std::string& bytes : {std::string(size, '\0'), std::string(size, 'x')}) {
      narrow.insert(hash64(bytes));
      wide.insert({hash128(bytes).low, hash128(bytes).high});
    }
  }
  CHECK(narrow.size() == 401);  // the empty string comes twice
  CHECK(wide.size() == 401);
}

TEST_CASE("each bit of the bytes matters to each half of the hash") {
  for (const std::size_t size : {1u, 8u, 16u, 17u, 64u, 65u, 130u}) {
    const std::string bytes = bytes_of(size);
    const Hash128 wide = hash128(bytes);
    for (std::size_t bit = 0; bit < size * 8; ++bit) {
      std::string other = bytes;
      other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
      const Hash128 changed = hash128(other);
      if (hash64(other) == hash64(bytes)) FAIL("hash64 at bit " << bit << " of " << size);
      if (changed.low == wide.low) FAIL("low half at bit " << bit << " of " << size);
      if (changed.high == wide.high) FAIL("high half at bit " << bit << " of " << size);
    }
  }
}

TEST_CASE("keys spread evenly over shards, by the low bits and by the high ones") {
  constexpr int keys = 100'000;
  std::array<int, 64> low{};
  std::array<int, 64> high{};
  for (int i = 0; i < keys; ++i) {
    const std::uint64_t hash = hash64("order-" + std::to_string(i));
    ++low[hash % 64];
    ++high[hash >> 58];
  }
  for (const auto& shards : {low, high}) {
    const auto [fewest, most] = std::minmax_element(shards.begin(), shards.end());
    CHECK(*fewest > keys / 64 * 85 / 100);
    CHECK(*most < keys / 64 * 115 / 100);
  }
}

TEST_CASE("no two of a hundred thousand similar payloads share a hash") {
  std::set<std::pair<std::uint64_t, std::uint64_t>> wide;
  std::set<std::uint64_t> halves;
  for (int i = 0; i < 100'000; ++i) {
    const Hash128 hash = hash128("{\"order\":" + std::to_string(i) + ",\"total\":42.00}");
    wide.insert({hash.low, hash.high});
    halves.insert(hash.low);
  }
  CHECK(wide.size() == 100'000);
  CHECK(halves.size() == 100'000);
}

TEST_CASE("mix64 is splitmix64") {
  CHECK(mix64(0) == 0xe220a8397b1dcdaf);
  CHECK(mix64(0x9e3779b97f4a7c15) == 0x6e789e6aa1b965f4);
}
