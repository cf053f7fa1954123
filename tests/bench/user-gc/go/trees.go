// SPDX-License-Identifier: GPL-2.0

// binary-trees and GCBench, as ../trees.c has them, with Go's collector.
//
//	usage: trees trees|gcbench DEPTH [spin]
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	minDepth = 4
	gapFloor = 10 // microseconds
)

// The time stamp counter: the clock costs a system call in some machines.
func ticks() int64

type tree struct{ left, right *tree }

type node struct {
	left, right *node
	i, j        int32
}

func bottomUp(depth int) *tree {
	t := new(tree)
	if depth > 0 {
		t.left = bottomUp(depth - 1)
		t.right = bottomUp(depth - 1)
	}
	return t
}

func (t *tree) count() int {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

func binaryTrees(most int) int {
	check := bottomUp(most + 1).count()
	longLived := bottomUp(most)
	for depth := minDepth; depth <= most; depth += 2 {
		for i := 0; i < 1<<(most-depth+minDepth); i++ {
			check += bottomUp(depth).count()
		}
	}
	return check + longLived.count()
}

func makeNode(depth int) *node {
	n := new(node)
	if depth > 0 {
		n.left = makeNode(depth - 1)
		n.right = makeNode(depth - 1)
	}
	return n
}

func populate(depth int, n *node) {
	if depth == 0 {
		return
	}
	n.left = new(node)
	n.right = new(node)
	populate(depth-1, n.left)
	populate(depth-1, n.right)
}

func treeSize(depth int) int { return 2<<depth - 1 }

// Where it stores, so that nothing is made on a stack.
var sink *node

func gcbench(most int) int {
	check := 0
	sink = makeNode(most + 2)
	longLived := new(node)
	populate(most, longLived)
	array := make([]float64, treeSize(most)*4)
	for i := 0; i < treeSize(most)*2; i++ {
		array[i] = 1.0 / float64(i+1)
	}
	for depth := minDepth; depth <= most; depth += 2 {
		iterations := 2 * treeSize(most+2) / treeSize(depth)
		for i := 0; i < iterations; i++ {
			sink = new(node)
			populate(depth, sink)
			if sink.left != nil {
				check++
			}
		}
		for i := 0; i < iterations; i++ {
			sink = makeNode(depth)
			if sink.right != nil {
				check++
			}
		}
	}
	if longLived.right != nil && array[1000] == 1.0/1001 {
		check++
	}
	return check
}

func ticksPerMicrosecond() int64 {
	begin, first := time.Now(), ticks()
	for time.Since(begin) < 20*time.Millisecond {
	}
	return (ticks() - first) / time.Since(begin).Microseconds()
}

// Gaps between two looks at the clock, in microseconds.
func spin(stop *int32, done chan []int) {
	runtime.LockOSThread()
	rate := ticksPerMicrosecond()
	gaps, last := make([]int, 0, 1<<20), ticks()
	for atomic.LoadInt32(stop) == 0 {
		now := ticks()
		if gap := (now - last) / rate; gap >= gapFloor && len(gaps) < cap(gaps) {
			gaps = append(gaps, int(gap))
		}
		last = now
	}
	done <- gaps
}

func at(gaps []int, share float64) int {
	if len(gaps) == 0 {
		return 0
	}
	i := int(float64(len(gaps)) * share)
	if i == len(gaps) {
		i--
	}
	return gaps[i]
}

func report(gaps []int, wall time.Duration) {
	sum := 0
	for _, gap := range gaps {
		sum += gap
	}
	sort.Ints(gaps)
	fmt.Printf("gaps=%d gap_share=%.4f gap_p50=%d gap_p99=%d gap_p999=%d gap_max=%d ", len(gaps),
		float64(sum)/float64(wall.Microseconds()), at(gaps, 0.5), at(gaps, 0.99),
		at(gaps, 0.999), at(gaps, 1))
}

func main() {
	var m runtime.MemStats
	var stop int32
	done, begin := make(chan []int), time.Now()
	depth, err := strconv.Atoi(os.Args[2])
	if err != nil {
		os.Exit(2)
	}
	spins := len(os.Args) > 3 && os.Args[3] == "spin"
	if spins {
		go spin(&stop, done)
	}
	check := 0
	if os.Args[1] == "trees" {
		check = binaryTrees(depth)
	} else {
		check = gcbench(depth)
	}
	fmt.Printf("check=%d ", check)
	if spins {
		atomic.StoreInt32(&stop, 1)
		report(<-done, time.Since(begin))
	}
	runtime.ReadMemStats(&m)
	fmt.Printf("cycles=%d ", m.NumGC)
}
