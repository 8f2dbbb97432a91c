# What the charts share: horizontal bars, Aegis in colour, peers in grey, figures at their ends.
set terminal svg size 720,height font "sans-serif,13" background "#ffffff" noenhanced
set output output_file
set datafile separator "\t"
set style fill solid 1 noborder
set border 0
set tics scale 0
set yrange [] reverse
set offsets 0, 0, 0.6, 0.6
set lmargin 28
set rmargin 12
unset key
unset xtics
set xrange [0:*]
ours = 0x2f6f8f
theirs = 0xb8bec4
colour(who) = who == 0 ? ours : theirs
figure(v) = v < 10 ? sprintf("%.1f", v) : sprintf("%.0f", v)
