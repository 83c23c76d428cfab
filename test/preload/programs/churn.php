<?php
// SPDX-License-Identifier: MIT
// Arrays, strings, objects in cycles, regular expressions and JSON.
class Node
{
    public $self;
    public function __construct(public string $text)
    {
        $this->self = $this;
    }
}

$table = [];
for ($i = 0; $i < 60000; $i++) {
    $table["key" . $i * 31 % 7000] = new Node(str_repeat("x", $i % 200));
}
$sum = 0;
foreach ($table as $node) {
    $sum += strlen($node->text);
}
echo count($table), " ", $sum, " ", gc_collect_cycles() >= 0 ? "collected" : "", "\n";

$rows = [];
for ($i = 0; $i < 20000; $i++) {
    $rows[] = ["n" => $i, "text" => md5((string) $i), "list" => range(0, $i % 9)];
}
$json = json_encode($rows);
echo strlen($json), " ", md5(serialize(json_decode($json, true))), "\n";
echo strlen(preg_replace_callback('/"n":(\d+)/', fn ($m) => strrev($m[1]), $json)), "\n";

$text = "";
for ($i = 0; $i < 200000; $i++) {
    $text .= chr(65 + $i % 26);
}
usort($rows, fn ($a, $b) => strcmp($a["text"], $b["text"]));
echo strlen($text), " ", $rows[0]["n"], " ", strlen(str_repeat($text, 40)), "\n";
