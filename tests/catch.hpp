// SPDX-License-Identifier: MIT
#pragma once

// Catch2, whichever of its two shapes is installed: Debian 12 has version 2, newer systems version 3.
// Test programs include "catch.hpp" and nothing of Catch2 itself.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
