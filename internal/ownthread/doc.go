// Package ownthread runs functions that change the thread that they run on.
package ownthread
