-- Takes the temporary tables of its session away
DISCARD TEMP;
