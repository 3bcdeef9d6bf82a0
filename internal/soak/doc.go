// Package soak sends, passes on, cuts off, fills up and kills at random, and checks that
// no descriptor is lost or left open.
package soak
